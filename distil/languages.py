"""Languages by ISO 639-3 code. To work in another language, add a line here and its code to `languages:`."""

from typing import NamedTuple

from distil.errors import UserError


class Language(NamedTuple):
    """What the pipeline needs to know of a language."""

    name: str  # as printed in reports
    script: str  # ISO 15924
    fineweb2: str  # config name in HuggingFaceFW/fineweb-2


LANGUAGES: dict[str, Language] = {
    "hau": Language("Hausa", "Latn", "hau_Latn"),
    "ibo": Language("Igbo", "Latn", "ibo_Latn"),
    "kin": Language("Kinyarwanda", "Latn", "kin_Latn"),
    "swa": Language("Swahili", "Latn", "swh_Latn"),
    "yor": Language("Yoruba", "Latn", "yor_Latn"),
}


def check_languages(codes: list[str]) -> None:
    """Refuse a code that is unknown, given twice, or an empty list.

    Raises:
        UserError: names the first code at fault and the known ones.
    """
    if not codes:
        raise UserError("params.yaml: languages: the list is empty; give at least one of " + ", ".join(LANGUAGES))
    for code in codes:
        if code not in LANGUAGES:
            raise UserError(
                f"params.yaml: languages: unknown language code {code!r}; expected one of {', '.join(LANGUAGES)} "
                "(to add a language, add a line to distil/languages.py)"
            )
        if codes.count(code) > 1:
            raise UserError(f"params.yaml: languages: {code!r} is given {codes.count(code)} times; give it once")
