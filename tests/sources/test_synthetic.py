import hashlib
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import yaml

from distil.core.errors import UserError
from distil.sources.synthetic import (
    CORPUS_SENTENCES,
    LISTS,
    OPINIONS,
    UNLABELLED_TEXTS,
    Lexicon,
    corpus_sentences,
    labelled_rows,
    read_lexicon,
    unlabelled_texts,
)

LEXICONS = Path(__file__).parents[2] / "distil" / "lexicons"
LANGUAGES = ("kin", "swa", "hau", "ibo", "yor")
GRAVE, ACUTE = "\N{COMBINING GRAVE ACCENT}", "\N{COMBINING ACUTE ACCENT}"  # where NFC has no single character
# Every letter and mark beyond ASCII that the language writes; tone is written in Yoruba only.
ALPHABETS = {
    "kin": "",
    "swa": "",
    "hau": "ɓɗƙƴ",
    "ibo": "ịọụṅ",
    "yor": "àáèéẹìíòóọùúṣńǹ" + GRAVE + ACUTE,
}
WORDS = {
    "hau": ("ɗalibai", "ƙwai", "kuɓewa", "alƙawarin", "'yan", "maƙwabcinmu"),
    "ibo": ("ụlọ", "ọgwụ", "ọhụrụ", "ṅụrụ", "n'ahịa", "mmadụ"),
    "yor": ("ọjà", "bọ́ọ̀lù", "ṣùgbọ́n", "ń", "ọ̀sẹ̀", "àwọn"),
}


@pytest.fixture(scope="module", params=LANGUAGES)
def lexicon(request):
    return read_lexicon(LEXICONS, request.param)


@pytest.fixture(scope="module")
def corpus(lexicon):
    return corpus_sentences(lexicon)


@pytest.fixture(scope="module")
def rows(lexicon):
    return labelled_rows(lexicon)


def texts_of(rows, split):
    return [text for text, _ in rows[split]]


def folded(text):
    """Without accounts, hashtags, case, marks, punctuation and emoji."""
    words = [word for word in text.split() if word[0] not in "@#"]
    return "".join(c for c in unicodedata.normalize("NFKD", " ".join(words).casefold()) if c.isalnum())


def broken(tmp_path, change):
    """The Swahili lexicon with `change` made to it, in a folder of its own."""
    value = yaml.safe_load((LEXICONS / "swa.yaml").read_text(encoding="utf-8"))
    change(value)
    (tmp_path / "swa.yaml").write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    return tmp_path


def test_each_language_has_40_factual_patterns_and_3000_distinct_sentences(lexicon, corpus):
    assert len(lexicon.patterns["facts"]) >= 40
    assert len(corpus) == CORPUS_SENTENCES
    assert len({folded(sentence) for sentence in corpus}) == len(corpus) >= 3000


def test_text_is_nfc_with_every_slot_filled_and_single_spaces(corpus, rows):
    for text in [*corpus, *(text for split in rows for text in texts_of(rows, split))]:
        assert unicodedata.is_normalized("NFC", text)
        assert "{" not in text and "}" not in text
        assert text == " ".join(text.split())


def test_sentences_start_with_a_capital_and_end_with_a_mark(corpus):
    for sentence in corpus:
        words = [word for word in sentence.split() if word != "@user"]
        assert words[0].lstrip("'")[0].isupper(), sentence
        assert any(mark in sentence for mark in ".!?"), sentence


def test_every_letter_belongs_to_the_alphabet_of_its_language(lexicon, corpus, rows):
    letters = set("".join([*corpus, *(text for split in rows for text in texts_of(rows, split))]).lower())
    beyond = {c for c in letters if not c.isascii() and unicodedata.category(c)[0] in "LM"}
    assert beyond <= set(ALPHABETS[lexicon.language])


@pytest.mark.parametrize("language", WORDS)
def test_dots_hooks_and_tone_marks_are_written(language):
    lexicon = read_lexicon(LEXICONS, language)
    text = "\n".join(corpus_sentences(lexicon)).lower()
    assert {c for c in ALPHABETS[language] if c not in text} <= {"ƴ"}  # Hausa of Nigeria writes 'y
    words = set(text.replace(".", "").replace(",", "").split())
    assert [word for word in WORDS[language] if word not in words] == []


def test_words_recur_so_that_a_small_model_can_learn_them(corpus):
    words = " ".join(corpus).lower().split()
    assert len(words) / len(set(words)) > 20


def test_splits_have_the_promised_sizes_and_every_label_a_fifth_of_train(rows):
    assert {split: len(rows[split]) for split in rows} == {"train": 100, "dev": 100, "test": 300}
    labels = [label for _, label in rows["train"]]
    assert set(labels) == {"positive", "neutral", "negative"}
    assert min(labels.count(label) for label in set(labels)) >= 0.2 * len(labels)


def test_no_text_occurs_twice_or_in_two_splits_even_when_normalised(rows):
    keys = [folded(text) for split in rows for text in texts_of(rows, split)]
    assert len(set(keys)) == len(keys)


def test_labels_are_not_told_by_the_order_of_rows(rows):
    labels = [label for _, label in rows["test"]]
    assert len(set(labels[:20])) == 3 and len(set(labels[-20:])) == 3


def test_accounts_emoji_and_hashtags_occur_now_and_then(rows):
    texts = texts_of(rows, "train")
    for sign in (
        lambda text: text.startswith("@user "),
        lambda text: "#" in text,
        lambda text: ord(max(text)) > 0xFFFF,
    ):
        assert 0.05 < sum(map(sign, texts)) / len(texts) < 0.25


def test_two_calls_give_the_same_sentences(lexicon, corpus, rows):
    again = read_lexicon(LEXICONS, lexicon.language)
    assert corpus_sentences(again) == corpus
    assert labelled_rows(again) == rows


def test_a_change_of_the_swahili_sample_is_noticed():
    # Pinned: a new Python, or an edit of the generator or the lexicon, changes every number of the sample's report.
    lexicon = read_lexicon(LEXICONS, "swa")
    lines = (
        corpus_sentences(lexicon)
        + [f"{text}\t{label}" for rows in labelled_rows(lexicon).values() for text, label in rows]
        + unlabelled_texts(lexicon)
    )
    assert (
        hashlib.sha256("\n".join(lines).encode()).hexdigest()
        == "90f8d80b83e0fb85af1881a0e77d2ebba2a2e615e41c0926f47c98ee204becb5"
    )


def test_counting_words_scores_above_the_majority_and_below_the_ceiling():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    rows = labelled_rows(read_lexicon(LEXICONS, "yor"))
    model = make_pipeline(TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2)), LinearSVC(random_state=0))
    model.fit(texts_of(rows, "train"), [label for _, label in rows["train"]])
    gold = [label for _, label in rows["test"]]
    score = f1_score(gold, model.predict(texts_of(rows, "test")), average="weighted")
    majority = f1_score(gold, ["positive"] * len(gold), average="weighted", zero_division=0)
    assert majority + 0.2 < score < 0.97


def made_up(patterns, slots):
    """A lexicon with the opinions that each one must have."""
    return Lexicon("xx", Path("xx.yaml"), patterns, {**{name: ("a", "b") for name in OPINIONS}, **slots}, ("tag",))


def test_the_label_follows_from_the_list_and_few_rows_are_turned():
    patterns = {name: (f"{name} {{number}}.",) for name in LISTS}
    lexicon = made_up(patterns, {"number": tuple(map(str, range(3000)))})
    rows = [(text.removeprefix("@user ").split()[0], label) for text, label in labelled_rows(lexicon)["train"]]
    # A tenth of 36 positive and of 30 negative rows is turned; 0.4 of 34 neutral rows asks.
    assert Counter(rows) == {
        ("Praise", "positive"): 32, ("Praise_turned", "positive"): 4,
        ("Facts", "neutral"): 20, ("Asked", "neutral"): 14,
        ("Complaint", "negative"): 27, ("Complaint_turned", "negative"): 3,
    }  # fmt: skip


def opinions_in(lexicon, texts):
    """The opinions of the slot `good` that the texts hold, by their number there; names in them are left out."""
    found = set()
    for number, opinion in enumerate(lexicon.slots["good"]):
        longest = max(re.split(r"\{[a-z_]+\}", opinion), key=len).strip().casefold()
        if any(longest in text.casefold() for text in texts):
            found.add(number)
    return found


def test_half_of_the_opinions_are_in_dev_test_and_text_but_never_in_train(lexicon, corpus, rows):
    opinions = lexicon.slots["good"]
    labelled = [text for text, label in rows["train"] if label == "positive"]
    for texts in (texts_of(rows, "test"), corpus, unlabelled_texts(lexicon)):
        found = opinions_in(lexicon, texts)
        assert len(found) >= 0.9 * len(opinions)
        assert len(found - opinions_in(lexicon, labelled)) >= 0.35 * len(opinions)


def test_unlabelled_texts_are_like_rows_and_show_no_mood(lexicon, corpus):
    texts = unlabelled_texts(lexicon)
    assert len({folded(text) for text in texts}) == len(texts) == UNLABELLED_TEXTS
    assert unlabelled_texts(lexicon) == texts
    assert not any(mood in text for text in texts for mood in "😍😡")
    assert sum(mood in text for text in corpus for mood in "😍😡") > 0.2 * len(corpus)


def test_a_slot_mentioned_twice_gives_two_entries_also_inside_another_slot():
    patterns = {name: ("{pair} {town} {number}.",) for name in LISTS}
    slots = {
        "pair": ("{town} na {town}",),
        "town": ("Huye", "Musanze", "Nyanza"),
        "number": tuple(map(str, range(9000))),
    }
    for sentence in corpus_sentences(made_up(patterns, slots))[:200]:
        assert sorted(word for word in sentence.split() if word in slots["town"]) == ["Huye", "Musanze", "Nyanza"]


def test_too_few_distinct_sentences_are_refused_with_file_and_list():
    lexicon = made_up({name: (f"{name}.",) for name in LISTS}, {})
    with pytest.raises(UserError, match="xx.yaml: praise_turned: too few distinct sentences"):
        labelled_rows(lexicon)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("asked"), "expected the keys"),
        (lambda v: v.update(extra=["x"]), "expected the keys"),
        (lambda v: v.update(facts=[]), "facts: expected a list"),
        (lambda v: v.update(facts=["Ndiyo.", False]), "facts: expected a text, found False; put it in quotes"),
        (lambda v: v["facts"].append("Mvua  ilinyesha."), "a space too many"),
        (lambda v: v["facts"].append("Mvua e\N{COMBINING ACUTE ACCENT}."), "not in Unicode form NFC"),
        (lambda v: v["facts"].append(v["facts"][0]), "is there 2 times"),
        (lambda v: v["facts"].append("Mvua {kesho}."), "names the slot 'kesho'"),
        (lambda v: v["facts"].append("Mvua {kesho."), "stray brace"),
        (lambda v: v["slots"].update(kesho=["leo"]), r"slots.kesho: no pattern names this slot"),
        (lambda v: v["slots"]["dish"].append("{dish}"), r"slots.dish: the slot names itself"),
        (lambda v: v.update(slots=["x"]), "slots: expected a list for each name"),
        (lambda v: v["slots"].pop("not_hated"), r"(names the slot 'not_hated'|not_hated is missing)"),
    ],
)
def test_a_broken_lexicon_is_refused_with_file_and_key(tmp_path, change, message):
    with pytest.raises(UserError, match=message) as caught:
        read_lexicon(broken(tmp_path, change), "swa")
    assert str(tmp_path / "swa.yaml") in str(caught.value)


def test_a_language_without_a_lexicon_is_refused_with_those_that_have_one():
    with pytest.raises(UserError, match=r"fra.yaml: no such file.*hau, ibo, kin, swa, yor"):
        read_lexicon(LEXICONS, "fra")


def test_text_that_is_not_yaml_is_refused_by_name(tmp_path):
    (tmp_path / "swa.yaml").write_text("facts: [", encoding="utf-8")
    with pytest.raises(UserError, match="swa.yaml: not valid YAML"):
        read_lexicon(tmp_path, "swa")
