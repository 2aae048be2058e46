"""MiniLMv2's loss on the relations between the tokens of a sequence."""

from torch import Tensor


def relation_kl(student_vectors: Tensor, teacher_vectors: Tensor, heads: int, mask: Tensor) -> Tensor:
    """KL between the relations of one kind of vectors, such as queries with queries (MiniLMv2, arXiv 2012.15828).

    The vectors of all attention heads are concatenated and cut into `heads` relation heads, so that teacher and
    student may differ in heads and in width. The relation of a token is the softmax, over the tokens of its sequence,
    of its scaled dot products with them.

    Args:
        student_vectors: (B, T, D_student) queries, keys or values.
        teacher_vectors: (B, T, D_teacher) the same of the teacher.
        heads: relation heads, a divisor of both widths.
        mask: (B, T) bool, true at tokens.

    Returns:
        (B, T) nats, float32, KL(teacher ‖ student), the mean over relation heads; 0 at padding.
    """
    student, teacher = (_log_relations(vectors, heads, mask) for vectors in (student_vectors, teacher_vectors))
    kl = (teacher.exp() * (teacher - student)).sum(dim=-1).mean(dim=1)
    return kl.masked_fill(~mask, 0.0)


def _log_relations(vectors: Tensor, heads: int, mask: Tensor) -> Tensor:
    """(B, heads, T, T) log-probabilities, a very low number at padding."""
    batch, tokens, width = vectors.shape
    split = vectors.float().view(batch, tokens, heads, width // heads).transpose(1, 2)
    scores = split @ split.transpose(2, 3) * (width // heads) ** -0.5
    # A finite number: infinity less infinity would be none.
    return scores.masked_fill(~mask[:, None, None, :], -1e4).log_softmax(dim=-1)
