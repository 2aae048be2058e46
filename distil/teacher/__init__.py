"""Get the teacher (`source.py`), adapt it, run it over the text and write the cache (`cache_writer.py`)."""
