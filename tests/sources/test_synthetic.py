import hashlib
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import yaml

from distil.core.errors import UserError
from distil.sources.synthetic import CORPUS_SENTENCES, LISTS, Lexicon, corpus_sentences, labelled_rows, read_lexicon

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
    assert {split: len(rows[split]) for split in rows} == {"train": 600, "dev": 150, "test": 300}
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
    lines = corpus_sentences(lexicon) + [
        f"{text}\t{label}" for rows in labelled_rows(lexicon).values() for text, label in rows
    ]
    assert (
        hashlib.sha256("\n".join(lines).encode()).hexdigest()
        == "169189f98d8d1c91b356f8e573a54ad4aba6c78ddbc14ac44d86c9beacb1c44c"
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


def test_the_label_follows_from_the_list_and_half_of_each_is_turned():
    patterns = {name: (f"{name} {{number}}.",) for name in LISTS}
    lexicon = Lexicon("xx", Path("xx.yaml"), patterns, {"number": tuple(map(str, range(3000)))}, ("tag",))
    rows = [(text.removeprefix("@user ").split()[0], label) for text, label in labelled_rows(lexicon)["train"]]
    # 216 positive: 2 % mixed is 4, half turned is 108, the rest 104; 180 negative: 4, 90, 86; 204 neutral: 0, 102, 102.
    assert Counter(rows) == {
        ("Praise", "positive"): 104, ("Praise_turned", "positive"): 108, ("Mixed", "positive"): 4,
        ("Facts", "neutral"): 102, ("Asked", "neutral"): 102,
        ("Complaint", "negative"): 86, ("Complaint_turned", "negative"): 90, ("Mixed", "negative"): 4,
    }  # fmt: skip


def test_a_slot_mentioned_twice_gives_two_entries_also_inside_another_slot():
    patterns = {name: ("{pair} {town} {number}.",) for name in LISTS}
    slots = {
        "pair": ("{town} na {town}",),
        "town": ("Huye", "Musanze", "Nyanza"),
        "number": tuple(map(str, range(9000))),
    }
    for sentence in corpus_sentences(Lexicon("xx", Path("xx.yaml"), patterns, slots, ("tag",)))[:200]:
        assert sorted(word for word in sentence.split() if word in slots["town"]) == ["Huye", "Musanze", "Nyanza"]


def test_too_few_distinct_sentences_are_refused_with_file_and_list():
    lexicon = Lexicon("xx", Path("xx.yaml"), {name: (f"{name}.",) for name in LISTS}, {}, ("tag",))
    with pytest.raises(UserError, match="xx.yaml: mixed: too few distinct sentences"):
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
