import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distil.text.cleaning import clean_line, fault, letter_ratio, without_links
from distil.text.overlap import HeldOut, fold, fold_key

BOUNDS = (1, 100, 0.6)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  Muraho \t neza\r\n", "Muraho neza"),
        ("a\u00a0b\u2003c\u2028d\x1fe", "a b c d e"),  # white space of all kinds
        ("nu\x00l\x07 \x7fbell\x9f", "nul bell"),
        ("\ufeffzero\u200bwidth\u2060", "zerowidth"),
        ("\u202etext\u200f \u2066x\u2069", "text x"),  # marks of writing direction
        ("so\u00adft", "soft"),
        ("a \u200b b", "a b"),  # what is left between two spaces
        ("e\u0323\u0301", "\u1eb9\u0301"),  # NFC: e with dot below, acute on top of it
        ("o\u0301\u0323", "\u1ecd\u0301"),  # marks in the other order
        ("oju\u200dmo", "ojumo"),  # a joiner among Latin letters does nothing
        ("\u200d\U0001f937\u200d", "\U0001f937"),  # nor at an end
        ("\U0001f937\u200d\u2642\ufe0f", "\U0001f937\u200d\u2642\ufe0f"),  # one emoji made of two
        (
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("", ""),
    ],
)
def test_a_line_is_nfc_without_invisible_characters_and_double_spaces(raw, cleaned):
    assert clean_line(raw) == cleaned


@pytest.mark.parametrize("raw", ["ab\udcff cd", "\ud800", b"caf\xe9".decode(errors="surrogateescape")])
def test_a_line_that_was_not_utf8_is_refused(raw):
    assert clean_line(raw) is None


@given(
    st.text(
        st.characters() | st.sampled_from("a \u200d\u200c\u200b\u0301\u0323\ufe0f\U0001f937\u2000\x85"), max_size=30
    )
)
def test_cleaning_twice_changes_nothing_and_always_gives_one_line_of_utf8(raw):
    line = clean_line(raw)
    if line is None:
        assert any(0xD800 <= ord(character) < 0xE000 for character in raw)
        return
    assert clean_line(line) == line
    assert unicodedata.is_normalized("NFC", line)
    assert "\n" not in line and "\r" not in line and "  " not in line and line == line.strip()
    line.encode()


@pytest.mark.parametrize(
    ("line", "ratio"),
    [
        ("abcd", 1.0),
        ("ab 12", 0.5),  # the space does not count
        ("a.b.", 0.5),
        ("\u1eb9\u0301!!", 0.5),  # a letter and its mark of four
        ("a_b_", 0.5),
        ("\u4e2d\u6587", 1.0),
        ("\U0001f602\U0001f602a", 1 / 3),
        ("", 0.0),
    ],
)
def test_letters_and_marks_are_counted_against_characters_that_are_not_spaces(line, ratio):
    assert letter_ratio(line) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "empty"),
        ("abcd", "too_short"),
        ("abcde", None),
        ("a" * 10, None),
        ("a" * 11, "too_long"),
        ("abc 12", None),  # 3 of 5 letters: just enough
        ("abc 123", "letters"),
        ("\u1eb9\u1ecd\u1e63 12", None),  # the same with letters beyond ASCII
        ("\u1eb9\u1ecd\u1e63 123", "letters"),
    ],
)
def test_each_bound_holds_at_its_edge(line, reason):
    assert fault(line, 5, 10, 0.6) == reason


@given(st.text(st.sampled_from("ab \u1eb9\u0301\U0001f60212.,\u0627"), max_size=20))
def test_the_quick_look_at_letters_never_changes_the_verdict(line):
    line = clean_line(line) or "a"
    assert (fault(line, 1, 100, 0.6) == "letters") == (letter_ratio(line) < 0.6)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("RT @user: soma https://t.co/abc hapa", " : soma   hapa"),
        ("www.bbc.com/hausa leo", "  leo"),
        ("#Yor\u00f9b\u00e1 #\u1eb9\u0301k\u1ecd\u0301 ire", "    ire"),  # the marks belong to the hashtag
        ("art @x", "art  "),  # RT is a word of its own
        ("no links", "no links"),
    ],
)
def test_links_accounts_and_hashtags_give_way_to_a_space(line, rest):
    assert " ".join(without_links(line).split()) == " ".join(rest.split())


EVALUATION = [
    "\u1eb8 k\u00fa oj\u00fam\u1ecd\u0301 o, g\u1eb9\u0301g\u1eb9\u0301 b\u00ed!",  # six words, tone marks
    "asante sana",
    "gine-gine su dinga shiga",
    "\U0001f602\U0001f602",
]


@pytest.mark.parametrize(
    ("line", "inside"),
    [
        ("e ku ojumo o gege bi", True),  # without case, marks, punctuation
        ("Olu ni: \u1eb8 k\u00fa oj\u00fam\u1ecd\u0301 o g\u1eb9\u0301g\u1eb9\u0301 b\u00ed baba", True),  # contained
        (
            "RT @user \u1eb8 k\u00fa #Yoruba oj\u00fam\u1ecd\u0301 o g\u1eb9\u0301g\u1eb9\u0301 b\u00ed https://t.co/x",
            True,
        ),
        ("Ke ku ojumo o gege bi", False),  # not from the start of a word
        ("e ku ojumo o gege bii", False),  # nor to the end of one
        ("e ku ojumo", False),  # a part of it
        ("Asante sana", True),  # the whole line
        ("Asante sana rafiki yangu", False),  # two words inside a line give nothing away
        ("lura da ginegine su dinga shiga unguwan", True),  # joined, as in the published test files
        ("\U0001f602\U0001f602", True),  # no letters: its own key
        ("\U0001f602", False),
        ("", False),
    ],
)
def test_a_line_is_held_out_when_it_is_or_contains_an_evaluation_text(line, inside):
    assert (line in HeldOut(EVALUATION)) is inside


def test_nothing_is_held_out_without_evaluation_texts():
    assert "habari" not in HeldOut([])
    assert len(HeldOut(EVALUATION)) == 4


WORDS = st.sampled_from(
    [
        "a",
        "ba",
        "k\u00fa",
        "\u1eb8",
        "o'",
        "da-ni",
        "\u0127",
        "\u062d\u062a\u0649",
        "12",
        "\U0001f602",
        "SU",
        "bo\u00df",
    ]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=4), TEXTS)
def test_the_sieve_lets_no_evaluation_text_through(evaluation, line):
    # The plain way: compare keys, and look for runs of whole words.
    def is_inside(text, line):
        text, words = "".join(fold(text)), fold(line)
        runs = {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        return text in runs

    expected = any(
        fold_key(text) == fold_key(line) or (len(fold(text)) >= 4 and is_inside(text, line)) for text in evaluation
    )
    assert (line in HeldOut(evaluation)) == expected


def test_a_text_in_another_script_is_found_too():
    text = "\u0627\u0644\u062d\u0645\u062f \u0644\u0644\u0647 \u0631\u0628 \u0627\u0644\u0639\u0627"
    assert f"yace {text} amin" in HeldOut([text])
    assert "yace amin" not in HeldOut([text])
