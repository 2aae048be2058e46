"""Batching by length, prefetching, precision, optimizers, checkpoints and sums over processes."""
