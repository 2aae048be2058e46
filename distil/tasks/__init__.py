"""Labelled data: file formats, tag schemes, splits, unlabelled text. Other packages read `data.py`."""
