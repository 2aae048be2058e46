"""Which texts count as the same: apostrophes, full-width letters, character references and escaped line breaks."""

import pytest

from distil.tasks.build import count_overlap
from distil.text.overlap import HeldOut, fold, fold_key

# ' and its like: typographic, modifier letters (02BC, 02BB, 02BD, 02BE), saltillo small and capital, prime, full width.
APOSTROPHES = "'\u2019\u2018\u02bc\u02bb\u02bd\u02be\ua78c\ua78b\u2032\u00b4`\uff07"


@pytest.mark.parametrize("sign", APOSTROPHES)
def test_every_apostrophe_gives_the_same_key(sign: str) -> None:
    assert fold(f"Ya{sign}u ya tafi") == ["ya", "u", "ya", "tafi"]
    assert f"baba Abana ba{sign}u Rwanda bakunze" in HeldOut(["Abana ba'u Rwanda bakunze"])
    assert count_overlap({"train": [fold_key(f"n{sign}umwana")], "dev": [], "test": [fold_key("N'umwana")]}) == {
        "dev_in_train": 0, "test_in_train": 1, "test_in_dev": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\uff2d\uff55\uff54\uff41\uff4e\uff45\uff4e", ["mutanen"]),  # full width
        ("\u0149a", ["na"]),  # an apostrophe and an n in one character: the sign goes before the word
        ("o\ufb01s", ["ofis"]),  # a ligature
        ("\u0628\u0640\u0640\u0645", ["\u0628\u0645"]),  # lengthened by tatweel
        ("Ya&#39;u &amp; Ya&rsquo;u", ["ya", "u", "ya", "u"]),
        ("mbere\\nhanyuma\\r\\nnyuma", ["mbere", "hanyuma", "nyuma"]),
    ],
)
def test_one_sign_written_in_two_ways_gives_one_key(text: str, words: list[str]) -> None:
    assert fold(text) == words


def test_a_sentence_behind_escaped_line_breaks_is_found() -> None:
    line = "Hano ni intangiriro\\nMutanen \u0199auye sun tafi\\nIherezo"
    assert line in HeldOut(["Mutanen \u0199auye sun tafi"])


def test_hooked_letters_stay_letters_of_their_own() -> None:
    for hooked, plain in ("\u0253b", "\u0257d", "\u0199k", "\u01b4y"):
        assert fold(f"{hooked}auye") == [f"{hooked}auye"] != fold(f"{plain}auye")
