"""Rivals of the student: 8-bit teachers, cut encoders, static embeddings; others read `evaluation/rivals.py`."""
