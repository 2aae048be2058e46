"""Which texts are held out: decided by a hash of the words, so that more text never moves one to the other side."""

import hashlib


def is_held_out(line: str, fraction: float) -> bool:
    """Whether a line belongs to the held-out `fraction`; what a smaller fraction holds out, a larger one does too."""
    number = int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "big")
    return number < fraction * 2**64
