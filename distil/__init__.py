"""distil: a large multilingual masked language model in, a very small student for a few languages out."""
