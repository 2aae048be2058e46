"""Measurements of speed and fidelity; each is a command, and benchmarks/README.md says how to read them."""
