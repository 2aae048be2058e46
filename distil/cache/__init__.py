"""The format of the teacher cache: sparse logits, attention rows, bit packing."""
