"""Pure functions on one text: cleaning, normalisation, overlap between texts, words."""
