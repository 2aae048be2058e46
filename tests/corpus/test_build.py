import json
import tracemalloc

import pytest
import yaml

import distil.corpus.build
import distil.sources.text_streams
import stages.corpus
from distil.core.errors import UserError
from distil.core.files import write_checksums, write_json
from distil.core.params import parse_params
from distil.corpus.build import CorpusConfig, write_corpus

BLOCK = {
    "source": "files", "path": "text", "pattern": "{lang}.txt", "text_column": "text",
    "escaped_line_breaks": "auto", "dataset": "org/data",
    "config": "{fineweb2}", "split": "train", "revision": "main", "max_megabytes": 0, "max_words": 0, "max_lines": 0,
    "min_characters": 5, "max_characters": 100, "min_letter_ratio": 0.6, "script": "keep",
    "language_check": "none",
    "drop_near_duplicates": False, "workers": 1,
}  # fmt: skip


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty repository with a folder for text and one task that has dev and test texts in Kinyarwanda."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").mkdir()
    splits = {
        "train": ["Umwana arakina"],
        "dev": ["Ndagukunda cyane"],
        "test": ["Uyu munsi ni mwiza cyane"],
    }
    add_task(tmp_path, "sentiment", splits)
    return tmp_path


def add_task(root, name, splits, languages=("kin",)):
    folder = root / "data/tasks" / name
    for language in languages:
        (folder / language).mkdir(parents=True)
        for split, texts in splits.items():
            lines = [json.dumps({"text": text, "label": "x"}) + "\n" for text in texts]
            (folder / language / f"{split}.jsonl").write_text("".join(lines))
    rows = {split: {"rows": len(texts)} for split, texts in splits.items()}
    manifest = {
        "task": name,
        "kind": "text_classification",
        "labels": ["x", "y"],
        "languages": {language: rows for language in languages},
    }
    write_json(folder / "manifest.json", manifest)


def build(root, text, languages=("kin",), **changes):
    if text is not None:
        (root / "text/kin.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    config = CorpusConfig(**BLOCK | changes)
    manifest = write_corpus(config, list(languages), root / "data/tasks", root / "data/raw")
    return manifest["languages"]["kin"], (root / "data/raw/kin.txt").read_text(encoding="utf-8")


def test_every_line_is_kept_or_counted_under_its_reason(root):
    text = (
        (
            "Umwana arakina hanze\n"
            "\n"
            "abc\n" + "a" * 101 + "\n"
            "12345 67890 ab\n"
            "UMWANA  arakina hanze\n"  # the first line again
            "Ndagukunda, cyane!\n"  # the dev text
            "Bavuga ko uyu munsi ni mwiza cyane rwose\n"  # contains the test text
            "Umwana arakina\n"  # a train text stays
        ).encode()
        + b"caf\xe9 na mata\n"
    )
    entry, kept = build(root, text)
    assert kept == "Umwana arakina hanze\nUmwana arakina\n"
    assert entry == {
        "files": ["kin.txt"],
        "lines_read": 10,
        "lines": 2,
        "words": 5,
        "bytes": 36,  # 21 + 15
        "language_checked": False,
        "escaped_line_breaks": 0,
        "dropped": {
            "empty": 1,
            "too_short": 1,
            "too_long": 1,
            "letters": 1,
            "duplicate": 1,
            "held_out": 2,
            "not_utf8": 1,
        },
    }
    assert json.loads((root / "data/raw/manifest.json").read_text())["languages"]["kin"] == entry


def test_a_file_with_every_kind_of_dirt_comes_out_clean(root):
    text = "\ufeffUmwana\x00 arakina\r\nLine\u200b two \u202etext\r\ncafe\u0301 au lait\n" + "x" * 2**20
    entry, kept = build(root, text)
    assert kept == "Umwana arakina\nLine two text\ncaf\u00e9 au lait\n"
    assert entry["dropped"] == {"too_long": 1}


def test_a_text_of_another_task_is_held_out_as_well(root):
    add_task(root, "news", {"train": [], "dev": [], "test": ["Inkuru nshya"]})
    entry, kept = build(root, "Inkuru nshya\nInkuru ishaje\n")
    assert (kept, entry["dropped"]) == ("Inkuru ishaje\n", {"held_out": 1})


def test_of_two_tasks_one_without_its_manifest_is_refused(root):
    add_task(root, "news", {"train": [], "dev": [], "test": ["Inkuru nshya"]})
    write_checksums(root / "data/tasks/news")
    (root / "data/tasks/news/manifest.json").unlink()
    with pytest.raises(UserError, match=r"data/tasks/news/manifest.json: no such file; run `dvc repro tasks@news`"):
        build(root, "Inkuru nshya\n")


def test_a_task_that_was_never_finished_is_not_read(root):
    (root / "data/tasks/.sentiment.x.tmp").mkdir()
    (root / "data/tasks/.sentiment.x.tmp/manifest.json").write_text("{")
    assert build(root, "Inkuru nshya\n")[0]["lines"] == 1


def test_lines_beyond_the_cap_are_counted_and_the_rest_of_the_file_with_them(root):
    # 21 bytes a line with its LF: two fit in 45 bytes, the short fifth one comes too late
    lines = [f"umurongo wa mbere {letter * 2}" for letter in "abcd"] + ["mugufi"]
    entry, kept = build(root, "\n".join(lines), max_megabytes=45e-6)
    assert kept.splitlines() == lines[:2]
    assert (entry["lines_read"], entry["bytes"], entry["dropped"]) == (5, 42, {"over_cap": 3})


def test_the_cap_is_for_each_language(root):
    for code in ("kin", "swa"):
        (root / f"text/{code}.txt").write_text("habari za asubuhi\n" + "habari za jioni\n")
    manifest = write_corpus(CorpusConfig(**BLOCK | {"max_megabytes": 20e-6}), ["kin", "swa"], root / "data/tasks",
                            root / "data/raw")  # fmt: skip
    assert [manifest["languages"][code]["lines"] for code in ("kin", "swa")] == [1, 1]


def test_several_files_of_a_language_become_one_without_repeats(root):
    (root / "text/b_kin.tsv").write_text("text\nIkirere ni cyiza\nInkuru nshya\n")
    entry, kept = build(root, "Inkuru nshya\n", pattern="*{lang}.*")
    assert entry["files"] == ["b_kin.tsv", "kin.txt"]
    assert (kept, entry["dropped"]) == ("Ikirere ni cyiza\nInkuru nshya\n", {"duplicate": 1})


def test_a_language_left_with_nothing_is_named_with_what_became_of_its_lines(root):
    (root / "text/swa.txt").write_text("ab\n12345678\n")
    with pytest.raises(UserError, match=r"corpus: swa: nothing is left of 2 lines \(dropped: letters 1, too_short 1\)"):
        build(root, "Inkuru nshya\n", languages=["kin", "swa"])
    (root / "text/swa.txt").write_text("")
    with pytest.raises(UserError, match=r"corpus: swa: nothing is left of 0 lines \(dropped: none\)"):
        build(root, "Inkuru nshya\n", languages=["kin", "swa"])


def test_a_failure_leaves_the_old_corpus_whole(root):
    build(root, "Inkuru nshya\n")
    before = {path.name: path.read_bytes() for path in (root / "data/raw").iterdir()}
    with pytest.raises(UserError):
        build(root, "x\n")
    assert {path.name: path.read_bytes() for path in (root / "data/raw").iterdir()} == before
    assert {path.name for path in (root / "data").iterdir()} == {"tasks", "raw"}


def test_the_same_input_gives_the_same_bytes(root):
    text = "".join(f"umurongo wa {number:x} cyangwa {number % 7}\n" for number in range(0, 5000, 3))
    build(root, text)
    first = {path.name: path.read_bytes() for path in (root / "data/raw").iterdir()}
    build(root, text)
    assert {path.name: path.read_bytes() for path in (root / "data/raw").iterdir()} == first


def test_memory_does_not_grow_with_the_text(root, monkeypatch):
    monkeypatch.setattr(distil.sources.text_streams, "BLOCK_BYTES", 2**14)
    config = CorpusConfig(**BLOCK | {"max_characters": 1000})

    def peak(lines):
        with (root / "text/kin.txt").open("w") as stream:
            stream.writelines(f"umurongo wa {number:05d} {'ibindi byinshi ' * 20}\n" for number in range(lines))
        tracemalloc.start()
        write_corpus(config, ["kin"], root / "data/tasks", root / "data/raw")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)  # what is imported and built once is not counted
    small, large = peak(500), peak(10_000)
    # 9,500 lines more are 3 MB of text; their hashes take 8 bytes each, and up to twice that while arrays are joined.
    assert large - small < 24 * 9500


def test_lines_and_words_are_capped_as_bytes_are(root):
    lines = [f"umurongo wa mbere {letter * 2}" for letter in "abcd"]
    entry, kept = build(root, "\n".join(lines), max_lines=3)
    assert (kept.splitlines(), entry["dropped"]) == (lines[:3], {"over_cap": 1})
    entry, kept = build(root, "\n".join(lines), max_words=11)  # four words a line
    assert (kept.splitlines(), entry["dropped"]) == (lines[:2], {"over_cap": 2})
    entry, kept = build(root, "ab\n" + "\n".join(lines) + "\nab", max_lines=1)
    assert entry["dropped"] == {"too_short": 1, "over_cap": 4}


def test_the_text_is_the_same_whatever_the_size_of_blocks_and_the_number_of_workers(root, monkeypatch):
    text = "".join(
        f"umurongo wa {number % 900:x} ni {'abc'[number % 3] * 3}\r\n{'ab' if number % 5 else 'Ndagukunda cyane'}\n"
        for number in range(3000)
    )
    whole = build(root, text, max_lines=800)
    assert set(whole[0]["dropped"]) == {"duplicate", "held_out", "over_cap", "too_short"}
    monkeypatch.setattr(distil.sources.text_streams, "BLOCK_BYTES", 4096)
    assert build(root, text, max_lines=800) == whole
    assert build(root, text, max_lines=800, workers=2) == whole


MIXED = (
    "Umwana arakina hanze kandi arishimye cyane\n"
    "The children are playing outside and they are very happy today\n"
    "Watoto wanacheza nje na wamefurahi sana leo asubuhi\n"
    "12 km\n"
)


def test_lines_of_another_language_are_dropped_only_when_that_is_asked_for(root):
    entry, kept = build(root, MIXED, min_letter_ratio=0)
    assert (entry["lines"], entry["language_checked"]) == (4, False)
    entry, kept = build(root, MIXED, min_letter_ratio=0, language_check="all")
    assert kept.splitlines() == [MIXED.splitlines()[0], "12 km"]  # of the last one nobody can be sure
    assert (entry["dropped"], entry["language_checked"]) == ({"other_language": 2}, True)


def test_lines_of_a_language_that_the_check_does_not_know_are_kept_and_that_is_said(root, caplog):
    (root / "text/nqo.txt").write_text(MIXED)
    config = CorpusConfig(**BLOCK | {"language_check": "known"})
    (root / "text/kin.txt").write_text(MIXED)
    found = write_corpus(config, ["kin", "nqo"], root / "data/tasks", root / "data/raw")["languages"]
    assert (found["kin"]["lines"], found["nqo"]["lines"]) == (1, 3)
    assert (found["kin"]["language_checked"], found["nqo"]["language_checked"]) == (True, False)
    assert "NOT CHECKED, as the language check does not know them: nqo" in caplog.text
    with pytest.raises(UserError, match="corpus.language_check: the language check does not know nqo"):
        config = CorpusConfig(**BLOCK | {"language_check": "all"})
        write_corpus(config, ["kin", "nqo"], root / "data/tasks", root / "data/raw")


def test_near_duplicates_are_dropped_only_when_that_is_asked_for(root):
    line = "Umwana arakina hanze kandi arishimye cyane kuko uyu munsi ari umunsi mukuru w'amavuko ye"
    near = [line, line.replace("'", " ").upper() + "!", line.replace("mukuru", "mukru"), "Inkuru nshya y'uyu munsi"]
    assert build(root, "\n".join(near))[0]["lines"] == 4
    entry, kept = build(root, "\n".join(near), drop_near_duplicates=True)
    assert kept.splitlines() == [near[0], near[3]]
    assert entry["dropped"] == {"near_duplicate": 2}


def test_without_tasks_the_evaluation_texts_cannot_be_taken_out(root):
    (root / "text/kin.txt").write_text("Inkuru nshya\n")
    with pytest.raises(UserError, match="data/none: no such folder; run `dvc repro tasks`"):
        write_corpus(CorpusConfig(**BLOCK), ["kin"], root / "data/none", root / "data/raw")


def test_the_same_text_in_another_place_is_the_same_bytes(root, monkeypatch):
    def everything(**changes):
        build(root, None, **changes)
        return {path.name: path.read_bytes() for path in sorted((root / "data/raw").iterdir())}

    (root / "text/kin.txt").write_text("Umwana arakina hanze\n")
    first = everything()
    assert json.loads(first["manifest.json"])["origin"] == "text/{lang}.txt"
    (root / "far/away").mkdir(parents=True)
    (root / "text").rename(root / "far/away/text")
    monkeypatch.chdir(root / "far")
    assert everything(path="away/text") == first
    assert everything(path="../far/away/./text") == first


def test_the_sample_is_cleaned_like_any_text_and_said_to_be_synthetic(root, monkeypatch):
    monkeypatch.setattr(distil.corpus.build, "read_lexicon", lambda folder, language: f"{folder}/{language}")
    monkeypatch.setattr(
        distil.corpus.build, "corpus_sentences", lambda lexicon: ["Ndagukunda cyane", f"Interuro  yo muri {lexicon}"]
    )
    entry, kept = build(root, None, source="sample", path="distil/lexicons")
    assert kept == "Interuro yo muri distil/lexicons/kin\n"
    assert entry["dropped"] == {"held_out": 1}
    manifest = json.loads((root / "data/raw/manifest.json").read_text())
    assert (manifest["source"], manifest["synthetic"], manifest["origin"]) == ("sample", True, "distil/lexicons")


def test_a_hub_data_set_is_read_up_to_the_cap_and_no_further(root, monkeypatch):
    read = []

    def hub_blocks(dataset, config, split, commit, column, dropped):
        for number in range(1000):
            read.append(number)
            yield f"{config} {commit} interuro {'abcdefghij'[number % 10] * 2}\n".encode()

    monkeypatch.setattr(distil.corpus.build, "hub_commit", lambda dataset, revision: "0abc")
    monkeypatch.setattr(distil.corpus.build, "hub_blocks", hub_blocks)
    entry, kept = build(root, None, source="hub", max_megabytes=60e-6)
    # "kin_Latn 0abc interuro aa" is 26 bytes with its LF: two fit in 60
    assert kept == "kin_Latn 0abc interuro aa\nkin_Latn 0abc interuro bb\n"
    assert (len(read), entry["lines_read"], entry["dropped"]) == (3, 3, {"over_cap": 1})
    manifest = json.loads((root / "data/raw/manifest.json").read_text())
    assert manifest["origin"] == "org/data, {fineweb2}, train, 0abc"
    assert entry["files"] == ["kin_Latn"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source", "url"),
        ("path", ""),
        ("pattern", "all.txt"),
        ("pattern", "/abs/{lang}.txt"),
        ("text_column", ""),
        ("dataset", ""),
        ("config", ""),
        ("split", ""),
        ("revision", ""),
        ("max_megabytes", -1),
        ("max_megabytes", float("inf")),
        ("max_words", -1),
        ("max_lines", -1),
        ("language_check", "some"),
        ("drop_near_duplicates", 2),
        ("workers", -1),
        ("min_characters", 0),
        ("max_characters", 4),  # below min_characters
        ("max_characters", 100_001),
        ("min_letter_ratio", -0.1),
        ("min_letter_ratio", 1.1),
        ("lines", 3),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(key, value):
    with pytest.raises(UserError, match=rf"params.yaml: corpus\.{key}: "):
        parse_params(BLOCK | {key: value}, CorpusConfig, "params.yaml: corpus")


def test_the_stage_writes_the_corpus_and_what_it_cost(root):
    (root / "text/kin.txt").write_text("Inkuru nshya\n")
    (root / "params.yaml").write_text(yaml.safe_dump({"languages": ["kin"], "corpus": BLOCK}))
    stages.corpus.main()
    assert (root / "data/raw/kin.txt").read_text() == "Inkuru nshya\n"
    cost = json.loads((root / "metrics/cost/corpus.json").read_text())
    assert (cost["lines"], cost["lines_read"], cost["bytes"]) == (1, 1, 13)


AMHARIC = "ልጆቹ በግቢው ውስጥ ይጫወታሉ።\nዛሬ አየሩ ጥሩ ነው!\nUmwana arakina hanze\nይህ ምግብ በጣም ይጣፍጣል።\n"


def test_text_of_another_script_is_kept_in_latin_letters_and_its_evaluation_texts_are_found(root):
    add_task(root, "mood", {"train": [], "dev": [], "test": ["ዛሬ አየሩ ጥሩ ነው"]})
    entry, kept = build(root, AMHARIC, script="latin", language_check="none")
    assert kept == ("lejochu bagebiwe wesete yechaawataalu.\nUmwana arakina hanze\nyehe megebe bataame yetaafetaale.\n")
    assert (entry["words"], entry["dropped"]) == (11, {"held_out": 1})
    assert json.loads((root / "data/raw/manifest.json").read_text())["script"] == "latin"
    build(root, AMHARIC)
    assert "script" not in json.loads((root / "data/raw/manifest.json").read_text())


def test_the_language_of_a_transliterated_line_is_told_by_its_own_letters(root):
    (root / "text/amh.txt").write_text(AMHARIC, encoding="utf-8")
    config = CorpusConfig(**BLOCK | {"script": "latin", "language_check": "all"})
    found = write_corpus(config, ["amh"], root / "data/tasks", root / "data/raw")["languages"]["amh"]
    assert (found["lines"], found["dropped"]) == (3, {"other_language": 1})


def test_a_task_in_latin_letters_asks_for_a_corpus_in_them_and_the_reverse_is_a_warning(root, caplog):
    add_task(root, "mood", {"train": [], "dev": [], "test": ["zare ayeru teru nawe"]})
    path = root / "data/tasks/mood/manifest.json"
    write_json(path, {**json.loads(path.read_text()), "script": "latin"})
    with pytest.raises(UserError, match="corpus.script: expected latin, as tasks.mood.script has it, found keep: its"):
        build(root, AMHARIC)
    build(root, AMHARIC, script="latin")
    assert "corpus.script is latin and tasks.sentiment.script is keep" in caplog.text
    assert "tasks.mood.script is keep" not in caplog.text
