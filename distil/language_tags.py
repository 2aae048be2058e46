"""Languages as the web and the Hub write them (BCP 47): two letters where ISO 639-1 has them, else three."""

_TWO_LETTERS = {
    "afr": "af", "aka": "ak", "amh": "am", "ara": "ar", "bam": "bm", "eng": "en", "ewe": "ee", "fra": "fr", "hau": "ha",
    "ibo": "ig", "kin": "rw", "lin": "ln", "lug": "lg", "nya": "ny", "orm": "om", "por": "pt", "run": "rn", "sna": "sn",
    "som": "so", "sot": "st", "ssw": "ss", "swa": "sw", "tir": "ti", "tsn": "tn", "tso": "ts", "twi": "tw", "ven": "ve",
    "wol": "wo", "xho": "xh", "yor": "yo", "zul": "zu",
}  # fmt: skip


def language_tag(code: str) -> str:
    """The tag of an ISO 639-3 code: rw for kin, pcm for pcm."""
    return _TWO_LETTERS.get(code, code)
