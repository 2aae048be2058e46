"""The student as a sentence encoder: pairs of sentences, training, retrieval; `data.py` reads what `pairs.py` wrote."""
