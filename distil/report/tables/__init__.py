"""The tables of the report, without a form yet; `report/sections.py` puts them in order."""
