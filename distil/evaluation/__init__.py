"""Metrics, bootstrap intervals, baselines, comparison of models; size, memory and speed (`footprint.py`)."""
