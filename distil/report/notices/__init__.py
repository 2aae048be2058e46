"""What a reader must know before any number; `report/findings.py` collects them."""
