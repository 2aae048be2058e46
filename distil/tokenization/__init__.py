"""Vocabulary selection, masking and tokenised shards.

Other packages read `shards.py`, `masking.py` and `holdout.py`.
"""
