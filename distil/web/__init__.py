"""The student in JavaScript: a page that needs no server (`demo.py`), a folder for transformers.js (`folder.py`)."""
