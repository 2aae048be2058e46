"""The report, its page, its Markdown and the model card: complete, escaped, repeatable, and plain about bad results."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from distil.core.errors import UserError
from distil.core.files import read_json, write_json
from distil.evaluation.config import EvaluateConfig
from distil.evaluation.predictions import GoldAndPredicted
from distil.report.data import cost_file, costed_stages, language_name, load_report
from distil.report.disagreement import disagreement
from distil.report.findings import notices
from distil.report.format import bracket, names, p_text, percent, short, shorten, signed
from distil.report.html import render_html
from distil.report.markdown import escape, render_markdown
from distil.report.model_card import CardConfig, render_card
from distil.report.sections import sections
from distil.report.summary import headline
from distil.report.tables.training import split_table
from tests.pipeline.test_dvc_yaml import stages
from tests.support import ROOT
from tests.support.report_fixture import LANGUAGES, write_inputs

NASTY = "<script>alert('x')</script> | **bold** `code` & \u202ereversed\u2028line"
CARD = CardConfig(name="tiny", license="mit")
VOID = {"meta", "br", "hr", "img", "link", "input"}


def everywhere(model: str, share: float) -> dict:
    return {model: dict.fromkeys(LANGUAGES, share)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    # Every row is a nasty one, so those on which the models disagree are too.
    write_inputs(
        folder, tasks=["sentiment", "topics", "names"], tagged=("names",), rows=60,
        texts=[f"{NASTY} {row}" for row in range(60)],
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def report(root):
    return load_report(root)


@pytest.fixture(scope="module")
def page(report):
    return render_html(report)


class Page(HTMLParser):
    """Open and closed tags, ids, addresses, headings and table rows of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.faults, self.ids, self.addresses, self.headings = [], [], [], [], []
        self.attributes, self.rows, self.tables = [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.attributes.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        self.addresses += [found[name] for name in ("src", "href", "srcset", "data", "action") if name in found]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "caption":
            self.rows = self.tables.setdefault(found["id"].removesuffix("-c"), [])
        if tag == "tr":
            self.rows.append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append((tag, self.getpos()))

    def handle_data(self, data):
        if "table" in self.open and self.rows:
            self.rows[-1] += data + " "


# The page


def test_tags_are_balanced_and_ids_unique(page):
    parsed = Page(page)
    assert not parsed.faults and not parsed.open
    assert len(parsed.ids) == len(set(parsed.ids))


def test_every_id_that_is_pointed_at_exists(page):
    parsed = Page(page)
    wanted = {address[1:] for address in parsed.addresses if address.startswith("#")}
    for _, attributes in parsed.attributes:
        wanted |= set((attributes.get("aria-labelledby") or "").split())
        wanted |= set((attributes.get("aria-describedby") or "").split())
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert wanted and wanted <= set(Page(page).ids)


def test_the_page_loads_nothing_from_anywhere(page):
    assert all(address.startswith("#") for address in Page(page).addresses)
    assert not re.search(r"url\((?!#)|@import|http-equiv|<script|<link|<iframe|xmlns", page)


def test_headings_do_not_skip_a_level(page):
    levels = Page(page).headings
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_tables_scroll_in_boxes_that_the_keyboard_reaches_and_name_their_cells(page):
    parsed = Page(page)
    boxes = [attributes for _, attributes in parsed.attributes if attributes.get("class") == "scroll"]
    assert len(boxes) == page.count("<table>") == page.count("<caption")
    assert all(box["tabindex"] == "0" and box["role"] == "group" and box["aria-labelledby"] for box in boxes)
    assert all("scope" in attributes for tag, attributes in parsed.attributes if tag == "th")


def test_there_is_one_main_and_a_link_that_skips_to_it(page):
    assert page.count("<main") == 1 and '<a class="skip" href="#main">' in page
    assert '<html lang="en">' in page and 'name="viewport"' in page


@pytest.mark.parametrize("task", ["sentiment", "topics", "names"])
def test_every_language_has_a_row_in_each_table(page, task):
    tables = Page(page).tables
    by_language = ["heldout", "corpus", "vocabulary"]
    by_language += [
        f"{name}-{task}" for name in ("distances", "scores", "detail", "labels", "agreement", "examples", "splits")
    ]
    for name in by_language:
        for code in LANGUAGES:
            assert any(language_name(code) in row for row in tables[name]), (name, code)
    assert all(f"confusion-{task}-{code}" in tables for code in LANGUAGES)


def test_training_rows_in_two_spellings_are_counted_in_a_column_of_their_own(report):
    data = report.task_data["sentiment"]
    before = split_table(report, "sentiment")
    train = data.languages["kin"].train
    twice = data.languages["kin"].model_copy(update={"train": train.model_copy(update={"second_views": 4})})
    changed = data.model_copy(update={"languages": {**data.languages, "kin": twice}})
    table = split_table(replace(report, task_data={**report.task_data, "sentiment": changed}), "sentiment")
    assert table.columns == [*before.columns[:4], "Again without marks", *before.columns[4:]]
    row = next(row for row in table.rows if [cell.text for cell in row[:2]] == [language_name("kin"), "train"])
    assert [cell.text for cell in row[3:5]] == [str(train.rows - 4), "4"]


def test_text_from_data_stays_text(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; | **bold** `code` &amp; reversed line" in page


def test_the_same_input_gives_the_same_bytes(root, page, report):
    again = load_report(root)
    assert render_html(again) == page
    assert render_markdown(again) == render_markdown(report)
    assert render_card(again, CARD) == render_card(report, CARD)


def test_the_page_is_small(page):
    assert len(page.encode()) < 700_000


def test_a_language_taken_out_of_params_is_not_reported(tmp_path):
    params = write_inputs(tmp_path, rows=30)
    params["languages"] = ["kin", "yor"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    report = load_report(tmp_path)
    tables = render_markdown(report).split("## Parameters")[0] + render_html(report)
    assert "Hausa" not in tables and "Mean of 2" in tables


# Markdown


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line.strip())


def test_every_markdown_row_has_as_many_cells_as_its_head(report):
    counted = 0
    lines = render_markdown(report).splitlines()
    for at, line in enumerate(lines):
        if re.fullmatch(r"\|( -+:? \|)+", line):
            width = len(cells(lines[at - 1]))
            for row in lines[at:]:
                if not row.startswith("|"):
                    break
                assert len(cells(row)) == width, row
                counted += 1
    assert counted > 100


def test_markdown_from_data_stays_text(report):
    text = render_markdown(report)
    assert "<script" not in text
    assert r"&lt;script&gt;alert('x')&lt;/script&gt; \| \*\*bold\*\* \`code\` &amp; reversed line" in text


def test_page_and_markdown_hold_the_same_tables(report, page):
    text = render_markdown(report)
    captions = [table.caption for section in sections(report) for table in section.tables]
    assert all(f"{escape(caption)}:" in text for caption in captions)
    assert set(Page(page).tables) == {t.name for s in sections(report) for t in s.tables} | {"versions"}


def test_versions_stand_in_the_page_only(report, page):
    assert "Installed packages" in page and "Installed packages" not in render_markdown(report)


# What must be said


def said(tmp_path, **how) -> list[str]:
    write_inputs(tmp_path, rows=200, **how)
    return [notice.text for notice in notices(load_report(tmp_path))]


def test_a_synthetic_sample_is_named_first(tmp_path):
    write_inputs(tmp_path, synthetic=True)
    report = load_report(tmp_path)
    assert notices(report)[0].kind == "synthetic"
    for text in (render_html(report), render_markdown(report), render_card(report, CARD)):
        assert "These numbers are of a synthetic sample" in text
        assert text.index("synthetic sample") < text.index("Weighted F1 by language")


def test_real_data_are_not_called_synthetic(report, page):
    assert not report.synthetic and "synthetic" not in page.split("</style>")[1]


def test_languages_in_which_tfidf_wins_are_named_with_both_scores(tmp_path):
    texts = said(tmp_path, skill={"tfidf": {"hau": 0.97, "yor": 0.97}})
    (text,) = [text for text in texts if "does not beat TF-IDF" in text]
    assert re.search(r"in Hausa \([\d.]+ against 9[\d.]+\) and Yoruba \([\d.]+ against 9[\d.]+\)\.$", text)


def test_a_student_that_beats_a_baseline_everywhere_for_sure_is_said_to(tmp_path):
    texts = said(tmp_path, skill=everywhere("tfidf", 0.1) | everywhere("no_teacher", 0.1))
    assert any("the student beats TF-IDF with a linear model in every language" in text for text in texts)
    assert any("the student beats the same student without a teacher in every language" in text for text in texts)
    assert not any("does not beat" in text for text in texts)


def test_a_gain_that_may_be_chance_is_said_to_be(tmp_path):
    skill = everywhere("student", 0.9) | everywhere("tfidf", 0.1) | {"tfidf": {"kin": 0.87, "yor": 0.1}}
    texts = said(tmp_path, languages=["kin", "yor"], seeds=(1,), skill=skill)
    assert any("is above TF-IDF" in text and "in Kinyarwanda that may be chance" in text for text in texts)


def test_a_student_equal_to_tfidf_does_not_beat_it(tmp_path):
    texts = said(tmp_path, seeds=(0,), skill=everywhere("tfidf", 1.0) | everywhere("student", 1.0))
    assert any("does not beat TF-IDF with a linear model in Kinyarwanda (100.0 against 100.0)" in t for t in texts)


def test_a_teacher_below_tfidf_and_a_student_above_its_teacher_are_said(tmp_path):
    texts = said(tmp_path, skill={"teacher": {"ibo": 0.2}, "tfidf": {"ibo": 0.6}, "student": {"ibo": 0.9}})
    assert any("teacher itself is not above TF-IDF in Igbo" in t and "easy to reach" in t for t in texts)
    assert any("the student scores higher than its teacher in " in t and "Igbo" in t for t in texts)


def test_a_student_no_better_than_the_majority_is_said(tmp_path):
    texts = said(tmp_path, skill={"student": {"swa": 0.0}, "majority": {"swa": 0.5}})
    assert any("no better than always predicting the most frequent label in Swahili" in text for text in texts)


def test_few_seeds_are_said_and_three_are_not(tmp_path, report):
    assert any("Scores rest on one seed" in text for text in said(tmp_path, seeds=(1,)))
    assert not any("seeds of fine-tuning" in notice.text for notice in notices(report))


def test_an_average_stands_below_its_languages(page):
    for name in ("scores", "distances"):
        rows = Page(page).tables[f"{name}-sentiment"]
        assert "Mean of 5" in rows[-1] and len(rows) == 7


def test_the_distances_that_count_come_first(page):
    head = Page(page).tables["distances-sentiment"][0].replace("\u2011", "-")
    assert head.index("vs. no teacher") < head.index("vs. TF-IDF") < head.index("Share of the teacher")
    assert page.index("Gain over no teacher") < page.index("Gain over TF-IDF") < page.index("Share of the teacher")
    assert page.index("Gain over no teacher") < page.index("<h2")


def test_rows_seen_in_train_are_counted_and_scored_apart(page):
    table = Page(page).tables["unseen-sentiment"]
    assert "Test rows also in train" in table[0] and "27  45.0" in table[1]
    assert "unseen-names" not in Page(page).tables  # no row of it was seen


def test_tags_are_shown_beside_their_tokens(page):
    assert any("ijambo0/B-" in row for row in Page(page).tables["examples-names"])


def test_the_headline_is_a_handful_of_readable_columns(report):
    found = headline(report)
    assert found["sentiment"].keys() == {
        "student", "over_no_teacher", "over_tfidf", "of_teacher", "of_teacher_lowest"
    }  # fmt: skip
    kept = report.comparisons["names"].retention["student"].mean
    assert found["names"]["of_teacher"] == pytest.approx(100 * kept.ratio, abs=0.01)
    assert sum(len(each) for each in found.values()) <= 5 * len(report.tasks) + 2


# Numbers


def one_language(gold: str, *by_seed: str) -> dict:
    return {seed: GoldAndPredicted(list(gold), list(predicted)) for seed, predicted in enumerate(by_seed)}


def test_retention_is_student_over_teacher(report):
    for code, kept in report.comparisons["sentiment"].retention["student"].languages.items():
        scores = report.scores["sentiment"]
        assert kept.ratio == pytest.approx(scores["student"].score(code) / scores["teacher"].score(code), abs=1e-4)
        assert kept.interval_95[0] < kept.ratio < kept.interval_95[1]


def test_disagreements_are_counted_by_who_was_right():
    # gold a a a a b; teacher a a b b c; student a b a b a: both, teacher, student, neither (same), neither (differ)
    teacher, student = one_language("aaaab", "aabbc"), one_language("aaaab", "ababa")
    found = disagreement(teacher, student, list("vwxyz"))
    assert (found.both_right, found.teacher_only, found.student_only, found.both_wrong) == (1, 1, 1, 2)
    assert found.differ == 3 and [example.text for example in found.examples] == ["w", "x", "z"]
    assert [example.text for example in found.agreed] == ["v"]


def test_at_most_three_examples_of_disagreement_are_shown_of_each_kind_in_turn():
    teacher, student = one_language("a" * 9 + "b", "a" * 10), one_language("a" * 9 + "b", "b" * 10)
    found = disagreement(teacher, student, [str(row) for row in range(10)])
    assert [example.row for example in found.examples] == [0, 1, 9]


def test_right_examples_are_of_different_labels_and_sentences_without_entities_come_last():
    tags = ["O O", "B-PER O", "B-PER O", "O B-LOC"]
    answers = {0: GoldAndPredicted(tags, tags)}
    found = disagreement(answers, answers, ["a", "b", "c", "d"])
    assert [example.text for example in found.agreed] == ["b", "d"] and found.examples == []


def test_a_teacher_that_scores_nothing_has_no_retention(tmp_path):
    write_inputs(tmp_path, languages=["kin"])
    path = tmp_path / "metrics/compare/sentiment.json"
    compared = json.loads(path.read_text())
    compared["retention"]["student"] = {"mean": None, "languages": {"kin": None}}
    path.write_text(json.dumps(compared))
    report = load_report(tmp_path)
    assert "a share of it has no meaning" in render_markdown(report)
    assert "Share of the teacher's score kept" not in render_html(report)


def test_numbers_are_written_alike_everywhere():
    assert percent(0.12345) == "12.3\u00a0%" and percent(None) == "–"
    assert [short(n) for n in (13_127_936, 482_000, 900, 1.2e9)] == ["13.1M", "482.0k", "900", "1.2B"]
    assert signed(-0.023) == "−2.3" and signed(0.05) == "+5.0"
    assert bracket((-0.023, 0.05), sign=True) == "[−2.3, +5.0]" and bracket((0.5, 0.612)) == "[50.0, 61.2]"
    assert signed(-0.0004) == signed(0.0) == "0.0"
    assert p_text(0.0002) == "p < 0.001" and p_text(0.0123) == "p = 0.012"
    assert names(["hau"]) == "Hausa" and names(["hau", "ibo", "yor"]) == "Hausa, Igbo and Yoruba"
    assert shorten("a" * 500) == "a" * 159 + "…" and shorten("a\n b\x00\u202ec") == "a bc"


# Files at fault


def damaged(root: Path, path: str, text: str | None) -> str:
    write_inputs(root, rows=30)
    if text is None:
        (root / path).unlink()
    else:
        (root / path).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_report(root)
    assert path.split("/")[-1] in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("metrics/distil/summary.json", "distil"),
        ("metrics/distil/train.csv", "distil"),
        ("metrics/distil/heldout.csv", "distil"),
        ("metrics/evaluate/majority/sentiment.json", "evaluate"),
        ("metrics/evaluate/student/sentiment.json", "evaluate"),
        ("metrics/predictions/student/sentiment.csv", "finetune_student@sentiment"),
        ("metrics/cost/evaluate.json", "evaluate"),
        ("metrics/compare/sentiment.json", "evaluate"),
        ("metrics/footprint.json", "footprint"),
        ("data/raw/manifest.json", "corpus"),
        ("data/tasks/sentiment/manifest.json", "tasks@sentiment"),
        ("data/tasks/sentiment/kin/test.jsonl", "tasks@sentiment"),
        ("models/teacher/manifest.json", "teacher"),
        ("models/tokenizer/manifest.json", "vocabulary"),
    ],
)
def test_a_missing_or_damaged_file_names_the_stage_that_makes_it(tmp_path, path, stage):
    assert f"`dvc repro {stage}`" in damaged(tmp_path, path, None)
    assert f"`dvc repro --force {stage}`" in damaged(tmp_path, path, "}{\n1")


def test_a_missing_key_is_named(tmp_path):
    write_inputs(tmp_path, rows=30)
    text = (tmp_path / "metrics/evaluate/student/sentiment.json").read_text().replace('"interval_95"', '"interval"')
    assert "languages.hau.interval_95" in damaged(tmp_path, "metrics/evaluate/student/sentiment.json", text)


def test_a_missing_language_is_named(tmp_path):
    write_inputs(tmp_path, rows=30)
    text = (tmp_path / "data/raw/manifest.json").read_text().replace('"yor"', '"xho"')
    assert "languages lacks 'yor'" in damaged(tmp_path, "data/raw/manifest.json", text)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("1,kin,0,", "1,kin,99,", "expected row 0, found 99"),
        ("2,kin,0,", "9,kin,0,", "expected row 0, found 1"),
        ("1,kin,0,", "1,kin,0,other,other,", "teacher was scored on other gold labels"),
    ],
)
def test_predictions_of_other_rows_are_refused(tmp_path, old, new, words):
    write_inputs(tmp_path, rows=30)
    path = "metrics/predictions/student/sentiment.csv"
    assert words in damaged(tmp_path, path, (tmp_path / path).read_text().replace(old, new, 1))


# The stage


def test_the_stage_writes_its_files_without_heavy_imports(tmp_path):
    write_inputs(tmp_path, rows=60)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from stages.report import main; main(); "
        "heavy = {'torch', 'transformers', 'mlflow', 'pandas', 'sklearn', 'datasets', 'matplotlib.pyplot'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT)], cwd=tmp_path, check=True)
    for name in ("report.html", "report.md", "model_card.md", "headline.json"):
        assert (tmp_path / "metrics" / name).stat().st_size > 100


def test_the_cost_of_every_stage_before_the_report_is_read():
    known = {*(f"{name}@a" for name in ("tasks", "finetune_teacher", "baselines")), "corpus", "distil", "evaluate"}
    block = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["evaluate"]
    asked = {name: block[name] | {"tasks": ["a"]} for name in ("merge", "linear_companion")}
    scoring = EvaluateConfig.model_validate(block | asked | {"tasks": ["a"], "controls": ["start"], "seeds": [1, 2]})
    known |= {"control@start", "finetune_control@start-a"}
    assert known < set(costed_stages(scoring))
    written = {str(out) for block in stages().values() for out in block.get("outs", [])}
    patterns = {re.sub(r"\$\{[^}]*\}", "*", path) for out in written for path in re.findall(r"metrics/cost/[^']*", out)}
    # The report has no row for sentence embeddings.
    patterns = {path for path in patterns if not re.search(r"/(pairs|embed|evaluate_embedding)-", path)}
    files = [f"metrics/{cost_file(stage)}" for stage in costed_stages(scoring, ["rival@a", "decoder@a"])]
    assert all(any(fnmatch(file, pattern) for pattern in patterns) for file in files)
    assert all(any(fnmatch(file, pattern) for file in files) for pattern in patterns)


def test_the_memory_of_a_gpu_is_a_column_where_one_was_used(tmp_path, report):
    assert "Peak GPU memory" not in render_markdown(report)
    write_inputs(tmp_path)
    path = tmp_path / "metrics/cost/distil.json"
    write_json(path, read_json(path, "distil") | {"peak_gpu_memory_mib": 4321})
    markdown = render_markdown(load_report(tmp_path))
    assert "Peak GPU memory (MiB)" in markdown and markdown.count("4,321") == 2  # the stage's and the largest
