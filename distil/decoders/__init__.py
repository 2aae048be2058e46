"""Causal language models as rows and as teachers of a task; settings: evaluation/decoders.py. Read scoring.py first."""
