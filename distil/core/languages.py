"""Languages by ISO 639-3 code."""

from functools import lru_cache
from typing import NamedTuple

from distil.core.errors import UserError


class Language(NamedTuple):
    """What the pipeline needs to know of a language."""

    name: str  # as printed in reports
    script: str  # ISO 15924, the usual one
    fineweb2: str  # config name in HuggingFaceFW/fineweb-2
    tag: str  # ISO 639-1 where there is one, otherwise the code itself


# Any other code is looked up; a line here saves the look-up and overrides it.
LANGUAGES: dict[str, Language] = {
    "hau": Language("Hausa", "Latn", "hau_Latn", "ha"),
    "ibo": Language("Igbo", "Latn", "ibo_Latn", "ig"),
    "kin": Language("Kinyarwanda", "Latn", "kin_Latn", "rw"),
    "swa": Language("Swahili", "Latn", "swh_Latn", "sw"),
    "yor": Language("Yoruba", "Latn", "yor_Latn", "yo"),
}


@lru_cache(maxsize=1024)
def language(code: str) -> Language:
    """A language by its ISO 639-3 code, from the table above or from the Unicode CLDR (langcodes).

    Raises:
        UserError: no language has this code, or its ISO 639-3 code is another one.
    """
    if code in LANGUAGES:
        return LANGUAGES[code]
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    expected = "expected an ISO 639-3 code of three small letters, such as " + ", ".join(LANGUAGES)
    try:
        found = langcodes.Language.get(code)
        alpha3 = found.to_alpha3() if found.is_valid() else ""
    except (LanguageTagError, LookupError):
        alpha3 = ""
    if not alpha3 or "qaa" <= code <= "qtz":  # private use
        raise UserError(f"params.yaml: languages: unknown language code {code!r}; {expected}")
    if alpha3 != code:
        raise UserError(f"params.yaml: languages: {code!r}: {expected}; did you mean {alpha3!r}?")
    script = found.maximize().script or "Latn"
    return Language(found.language_name(), script, f"{code}_{script}", found.language or code)


def check_languages(codes: list[str]) -> None:
    """Refuse a code that is unknown, given twice, or an empty list.

    Raises:
        UserError: names the first code at fault.
    """
    if not codes:
        raise UserError("params.yaml: languages: the list is empty; give at least one, such as " + ", ".join(LANGUAGES))
    for code in codes:
        language(code)
        if codes.count(code) > 1:
            raise UserError(f"params.yaml: languages: {code!r} is given {codes.count(code)} times; give it once")


def language_tag(code: str) -> str:
    """The BCP 47 tag of an ISO 639-3 code, as the web and the Hub write it: rw for kin, pcm for pcm."""
    from langcodes import standardize_tag  # only the model cards need it, and it loads tables

    return standardize_tag(code)
