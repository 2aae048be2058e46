"""Which language a line is in, by CLD2, a library whose tables ship inside it (Sites 2013); nothing is downloaded."""

from distil.core.errors import UserError
from distil.core.languages import language


def known_tag(code: str) -> str | None:
    """The tag by which CLD2 knows a language, such as `rw` of `kin`; None if it does not know it."""
    import pycld2

    detected = {tag for name, tag in pycld2.LANGUAGES if name in pycld2.DETECTED_LANGUAGES}
    tag = language(code).tag
    return tag if tag in detected else None


def tags_to_check(mode: str, codes: list[str], where: str) -> dict[str, str | None]:
    """Language -> the tag that its lines must have; None where they are not checked.

    Args:
        mode: none, known (check what CLD2 knows) or all (refuse a language that it does not know).
        codes: the languages.
        where: begins the message.

    Raises:
        UserError: `all` is asked for and a language is not known.
    """
    tags = {code: known_tag(code) if mode != "none" else None for code in codes}
    unknown = [code for code, tag in tags.items() if tag is None]
    if mode == "all" and unknown:
        raise UserError(
            f"{where}: the language check does not know {', '.join(unknown)} (it knows 165 languages); `known` checks "
            "the others only, `none` checks nothing"
        )
    return tags


def is_other(line: str, tag: str) -> bool:
    """Whether CLD2 is sure that a line is mainly in another language than `tag`; doubt is no."""
    import pycld2

    try:
        sure, _, found = pycld2.detect(line)
    except pycld2.error:  # characters that it does not accept
        return False
    return bool(sure) and found[0][1] not in (tag, "un")
