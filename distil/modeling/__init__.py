"""XLM-R.

loading and checking a model (`xlm_roberta.py`), its tokenizer (`tokenizer.py`), attention, the masked-LM head.
"""
