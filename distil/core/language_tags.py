"""Languages as the web and the Hub write them (BCP 47): two letters where ISO 639-1 has them, else three."""

from langcodes import standardize_tag


def language_tag(code: str) -> str:
    """The tag of an ISO 639-3 code: rw for kin, pcm for pcm."""
    return standardize_tag(code)
