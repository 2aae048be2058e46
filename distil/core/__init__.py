"""Parameters, files, checksums, languages and errors.

Every stage depends on this package; read `files.py` and `params.py`.
"""
