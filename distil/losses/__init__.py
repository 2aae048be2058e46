"""Distillation losses: logits, attention, relations, hidden states. Pure functions, unreduced."""
