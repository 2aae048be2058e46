"""The seeds of a student's fine-tuning as one model."""
