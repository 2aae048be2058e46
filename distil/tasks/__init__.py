"""Labelled data: read from tables and CoNLL files, brought into one shape, kept in data/tasks, read from there."""

from distil.tasks.read import Row, Task, TextRow, TokenRow, held_out_texts, read_task

__all__ = ["Row", "Task", "TextRow", "TokenRow", "held_out_texts", "read_task"]
