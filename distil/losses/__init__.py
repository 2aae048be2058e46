"""Distillation losses: logits, attention, relations, hidden states.

Pure functions on tensors. Each returns one value for each position, row or token, unreduced and in float32;
`training.objective.masked_mean` reduces in one place. Shapes: B batch, P masked positions, V pieces, K cached entries,
R attention rows, H heads, T tokens, D width.
"""
