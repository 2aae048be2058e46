"""A block is judged as its lines are one by one (distil/text/cleaning.py, distil/text/overlap.py)."""

import unicodedata

from hypothesis import example, given, settings
from hypothesis import strategies as st

from distil.corpus.block_cleaning import KEPT, NOT_UTF8, REASONS, BlockCleaner
from distil.text.cleaning import clean_line, fault
from distil.text.overlap import HeldOut

BOUNDS = (2, 12, 0.6)
CHARACTERS = (
    st.characters()
    | st.sampled_from("a b \u200d\u200c\u200b\u0301\u0323\ufe0f\U0001f937\u2000\x85\ufeff\r\t12.,#@/:w\xdf\u0130\uac01")
    | st.sampled_from("&\\n;\u02bc\uff21\u0345")
    | st.sampled_from("\u1eb9\u1ecd\u0181\u0253\u1228\u12a0\u135f\u0915\u094d\u093f\u0628\u0651\U00020000\U0001f602")
)
LINES = st.lists(st.text(CHARACTERS, max_size=16), max_size=6)
EVALUATION = ["e ku ojumo o", "\u1eb8 k\u00fa", "gine-gine su da ni", "\U0001f602\U0001f602", "stra\xdfe a b c",
              "\u1230\u120b\u121d \u1208\u12d3\u1208\u121d", "\u0627\u0644 \u062d\u0645 \u062f \u0644"]  # fmt: skip


def one_by_one(texts, held_out, bounds):
    for text in texts:
        line = clean_line(text)
        if line is None:
            yield "", "not_utf8", False
            continue
        reason = fault(line, *bounds)
        yield line, reason or "kept", reason is None and line in held_out


def check(texts, held_out, bounds):
    raw = "".join(text.replace("\n", " ") + "\n" for text in texts).encode("utf-8", "surrogatepass")
    block = BlockCleaner(bounds, held_out).clean(raw)
    found = zip(block.text.decode().split("\n"), block.reasons, block.held_out, strict=False)
    expected = list(one_by_one([text.replace("\n", " ") for text in texts], held_out, bounds))
    assert [(line, REASONS[reason], bool(held)) for line, reason, held in found] == expected
    kept = [line for line, _, _ in expected]
    assert block.sizes.tolist() == [len(line.encode()) + 1 for line in kept]
    assert block.words.tolist() == [line.count(" ") + 1 for line in kept]
    by_hash = {}
    for line, key in zip(kept, block.hashes.tolist(), strict=True):
        assert by_hash.setdefault(line.casefold(), key) == key
    assert len(set(by_hash.values())) == len(by_hash)


@settings(deadline=None)  # the tables over characters are made once
@given(LINES)
@example(["a  b", " a", "a ", "", "x"])
@example(["\u0301a", "a\u0301", "\u1eb9\u0301", "e\u0323\u0301", "\u0301", "\u1100\u1161", "\u212b"])
@example(["caf\udce9", "\ud800"])
def test_a_block_is_cleaned_as_its_lines_are(texts):
    check(texts, HeldOut(EVALUATION), BOUNDS)


WORDS = st.sampled_from(
    ["a", "ba", "k\u00fa", "\u1eb8", "o'", "da-ni", "dani", "\u0127", "\u062d\u062a\u0649", "12", "\U0001f602", "SU",
     "bo\u00df", "boss", "k\u02bca", "k\ua78ba", "k'a", "\uff42\uff41", "\u0149o", "a\\nba", "ba&#39;k\u00fa",
     "&ba&amp;su", "&#10;", "#ba", "@su", "https://ba.su", "www.a", "\uac01", "\U00020000", "\u1230\u120b\u121d"]
)  # fmt: skip
TEXTS = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)


@settings(deadline=None)  # the tables over characters are made once
@example(["#ba #ba #ba"], ["#ba #ba #ba"])  # nothing but hashtags: its letters are no words
@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, max_size=5))
def test_no_evaluation_text_slips_through_the_sieve(evaluation, texts):
    check(texts, HeldOut(evaluation), (1, 1000, 0.0))


def test_text_in_another_normal_form_and_with_other_line_ends_comes_out_the_same():
    lines = ["\u1eb8 k\u00e1\u00e0s\u00e1n o", "In\u00e1 kwana"]
    plain = "".join(line + "\n" for line in lines)
    cleaner = BlockCleaner((1, 100, 0.5), HeldOut([]))
    for other in (unicodedata.normalize("NFD", plain), plain.replace("\n", "\r\n"), plain.replace(" ", " \u200b ")):
        assert cleaner.clean(other.encode()).text == plain.encode()


def test_a_line_that_is_not_utf8_costs_that_line_only():
    block = BlockCleaner((1, 100, 0.5), HeldOut([])).clean(b"good\ncaf\xe9\nalso good\n")
    assert block.reasons.tolist() == [KEPT, NOT_UTF8, KEPT]


def test_combining_marks_count_as_letters_in_every_script():
    # Amharic, Hindi with vowel signs and virama, Arabic with vowel marks, Yoruba with tone and dot
    for line in ("\u1230\u120b\u121d \u1208\u12d3\u1208\u121d", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941",
                 "\u0628\u0650\u0633\u0652\u0645\u0650", "\u1eb9\u0300k\u1ecd\u0301"):  # fmt: skip
        assert BlockCleaner((1, 100, 1.0), HeldOut([])).clean(f"{line}\n".encode()).reasons.tolist() == [KEPT]
