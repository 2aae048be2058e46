"""The report, its page, its Markdown and the model card: complete, escaped, repeatable, and plain about bad results."""

import ast
import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

from distil.errors import UserError
from distil.metrics import confusion_matrix, weighted_f1
from distil.model_card import SNIPPET, render_card
from distil.predictions import disagreement, ratio_interval
from distil.report import costed_stages, gather, language_name
from distil.report_format import names, percent, short, shorten, signed
from distil.report_html import render_html
from distil.report_tables import sections
from distil.report_text import escape, findings, render_markdown
from tests.report_fixture import LANGUAGES, write_inputs

ROOT = Path(__file__).parents[1]
NASTY = "<script>alert('x')</script> | **bold** `code` & \u202ereversed\u2028line"
VOID = {"meta", "br", "hr", "img", "link", "input"}


def everywhere(model: str, share: float) -> dict:
    return {model: dict.fromkeys(LANGUAGES, share)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    # Every row is a nasty one, so those on which the models disagree are too.
    write_inputs(folder, tasks=["sentiment", "topics"], rows=60, texts=[f"{NASTY} {row}" for row in range(60)])
    return folder


@pytest.fixture(scope="module")
def report(root):
    return gather(root)


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
    assert all(box["tabindex"] == "0" and box["role"] == "region" and box["aria-labelledby"] for box in boxes)
    assert all("scope" in attributes for tag, attributes in parsed.attributes if tag == "th")


def test_there_is_one_main_and_a_link_that_skips_to_it(page):
    assert page.count("<main") == 1 and '<a class="skip" href="#main">' in page
    assert '<html lang="en">' in page and 'name="viewport"' in page


@pytest.mark.parametrize("task", ["sentiment", "topics"])
def test_every_language_has_a_row_in_each_table(page, task):
    tables = Page(page).tables
    by_language = ["heldout", "corpus", "vocabulary"]
    by_language += [f"{name}-{task}" for name in ("scores", "labels", "agreement", "examples", "splits")]
    for name in by_language:
        for code in LANGUAGES:
            assert any(language_name(code) in row for row in tables[name]), (name, code)
    assert all(f"confusion-{task}-{code}" in tables for code in LANGUAGES)


def test_text_from_data_stays_text(page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; | **bold** `code` &amp; reversed line" in page


def test_the_same_input_gives_the_same_bytes(root, page, report):
    again = gather(root)
    assert render_html(again) == page
    assert render_markdown(again) == render_markdown(report)
    assert render_card(again) == render_card(report)


def test_the_page_is_small(page):
    assert len(page.encode()) < 500_000


def test_a_language_taken_out_of_params_is_not_reported(tmp_path):
    params = write_inputs(tmp_path, rows=30)
    params["languages"] = ["kin", "yor"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    report = gather(tmp_path)
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
    return [finding.text for finding in findings(gather(tmp_path))]


def test_a_synthetic_sample_is_named_first(tmp_path):
    write_inputs(tmp_path, synthetic=True)
    report = gather(tmp_path)
    assert findings(report)[0].kind == "synthetic"
    for text in (render_html(report), render_markdown(report), render_card(report)):
        assert "These numbers are of a synthetic sample" in text
        assert text.index("synthetic sample") < text.index("Weighted F1 by language")


def test_real_data_are_not_called_synthetic(report, page):
    assert not report.synthetic and "synthetic" not in page.split("</style>")[1]


def test_languages_in_which_tfidf_wins_are_named_with_both_scores(tmp_path):
    texts = said(tmp_path, skill={"tfidf": {"hau": 0.97, "yor": 0.97}})
    (text,) = [text for text in texts if "does not beat TF-IDF" in text]
    assert re.search(r"in Hausa \([\d.]+ against 9[\d.]+\) and Yoruba \([\d.]+ against 9[\d.]+\)\.$", text)


def test_a_student_that_beats_tfidf_everywhere_is_said_to(tmp_path):
    texts = said(tmp_path, skill=everywhere("tfidf", 0.1))
    assert any("the student beats TF-IDF with a linear model in every language" in text for text in texts)
    assert not any("does not beat" in text for text in texts)


def test_a_student_equal_to_tfidf_does_not_beat_it(tmp_path):
    texts = said(tmp_path, seeds=(0,), skill=everywhere("tfidf", 1.0) | everywhere("student", 1.0))
    assert any("does not beat TF-IDF with a linear model in Kinyarwanda (100.0 against 100.0)" in t for t in texts)


def test_a_teacher_below_tfidf_and_retention_above_one_are_said(tmp_path):
    texts = said(tmp_path, skill={"teacher": {"ibo": 0.2}, "tfidf": {"ibo": 0.6}, "student": {"ibo": 0.9}})
    assert any("teacher itself is not above TF-IDF in Igbo" in t and "makes retention cheap" in t for t in texts)
    assert any("retention is above 100 % in " in t and "Igbo" in t for t in texts)


def test_a_student_no_better_than_the_majority_is_said(tmp_path):
    texts = said(tmp_path, skill={"student": {"swa": 0.0}, "majority": {"swa": 0.5}})
    assert any("no better than always saying the most frequent label in Swahili" in text for text in texts)


def test_few_seeds_are_said_and_three_are_not(tmp_path, report):
    assert any("Scores rest on one seed" in text for text in said(tmp_path, seeds=(1,)))
    assert not any("seed" in finding.text for finding in findings(report))


def test_an_average_stands_below_its_languages(page):
    rows = Page(page).tables["scores-sentiment"]
    assert "Mean of 5" in rows[-1] and len(rows) == 7


# Numbers


def one_language(gold: str, *by_seed: str) -> dict:
    rows = [dict(enumerate(zip(gold, predicted, strict=True))) for predicted in by_seed]
    return {"kin": dict(enumerate(rows))}


def test_retention_is_student_over_teacher(report):
    for code, ratio in report.retention["sentiment"].items():
        scores = report.scores["sentiment"]
        assert ratio.value == pytest.approx(scores["student"].score(code) / scores["teacher"].score(code))
        assert ratio.low < ratio.value < ratio.high


def test_equal_predictions_have_a_ratio_of_exactly_one():
    same = one_language("aabbab", "ababab", "aabbbb")
    assert ratio_interval(same, same, "kin", 200, np.random.default_rng(0)) == (1.0, 1.0)


def test_the_paired_interval_agrees_with_drawing_rows_one_by_one():
    rng = np.random.default_rng(5)
    gold = rng.integers(0, 3, 80)
    teacher, student = (np.where(rng.random(80) < share, gold, rng.integers(0, 3, 80)) for share in (0.8, 0.6))
    ratios = []
    for _ in range(1500):
        rows = rng.integers(0, 80, 80)
        pair = [weighted_f1(confusion_matrix(gold[rows], said[rows], 3)) for said in (teacher, student)]
        ratios.append(pair[1] / pair[0])
    text = ["".join(map(str, values)) for values in (gold, teacher, student)]
    found = ratio_interval(
        one_language(text[0], text[1]), one_language(text[0], text[2]), "kin", 4000, np.random.default_rng(0)
    )
    assert found == pytest.approx(np.percentile(ratios, [2.5, 97.5]), abs=0.02)


def test_a_draw_in_which_the_teacher_scores_nothing_is_left_out():
    teacher, student = one_language("ab", "bb"), one_language("ab", "ab")
    low, high = ratio_interval(teacher, student, "kin", 500, np.random.default_rng(0))
    assert np.isfinite([low, high]).all()


def test_disagreements_are_counted_by_who_was_right():
    # gold a a a a b; teacher a a b b c; student a b a b a: both, teacher, student, neither (same), neither (differ)
    teacher, student = one_language("aaaab", "aabbc"), one_language("aaaab", "ababa")
    found = disagreement(teacher, student, "kin", list("vwxyz"))
    assert (found.both_right, found.teacher_only, found.student_only, found.both_wrong) == (1, 1, 1, 2)
    assert found.differ == 3 and [example.text for example in found.examples] == ["w", "x", "z"]


def test_at_most_five_examples_are_shown_of_each_kind_in_turn():
    teacher, student = one_language("a" * 9 + "b", "a" * 10), one_language("a" * 9 + "b", "b" * 10)
    found = disagreement(teacher, student, "kin", [str(row) for row in range(10)])
    assert [example.row for example in found.examples] == [0, 1, 2, 3, 9]


def test_a_teacher_that_scores_nothing_has_no_retention(tmp_path):
    write_inputs(tmp_path, languages=["kin"])
    path = tmp_path / "metrics/evaluate/teacher/sentiment.json"
    scores = json.loads(path.read_text())
    scores["languages"]["kin"]["weighted_f1"] = 0.0
    path.write_text(json.dumps(scores))
    report = gather(tmp_path)
    assert report.retention["sentiment"] == {"kin": None}
    assert "retention has no meaning" in render_html(report) and "retention has no meaning" in render_card(report)


def test_numbers_are_written_alike_everywhere():
    assert percent(0.12345) == "12.3\u00a0%" and percent(None) == "–"
    assert [short(n) for n in (13_127_936, 482_000, 900, 1.2e9)] == ["13.1M", "482.0k", "900", "1.2B"]
    assert signed(-0.023) == "−2.3" and signed(0.05) == "+5.0"
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
        gather(root)
    assert path.split("/")[-1] in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("metrics/distil/summary.json", "distil"),
        ("metrics/distil/train.csv", "distil"),
        ("metrics/distil/heldout.csv", "distil"),
        ("metrics/evaluate/majority/sentiment.json", "baselines@sentiment"),
        ("metrics/evaluate/tfidf/sentiment.json", "baselines@sentiment"),
        ("metrics/evaluate/teacher/sentiment.json", "evaluate@teacher-sentiment"),
        ("metrics/evaluate/student/sentiment.json", "evaluate@student-sentiment"),
        ("metrics/predictions/student/sentiment.csv", "evaluate@student-sentiment"),
        ("metrics/cost/evaluate-student-sentiment.json", "evaluate@student-sentiment"),
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
        ("1,kin,0,", "1,kin,99,", "expected predictions for the 30 rows"),
        ("1,kin,0,", "9,kin,0,", "seeds of the teacher [1, 2, 3], of the student [1, 2, 3, 9]"),
        ("1,kin,0,", "1,kin,0,other,other,", "other gold labels"),
    ],
)
def test_predictions_of_other_rows_are_refused(tmp_path, old, new, words):
    write_inputs(tmp_path, rows=30)
    path = "metrics/predictions/student/sentiment.csv"
    assert words in damaged(tmp_path, path, (tmp_path / path).read_text().replace(old, new, 1))


# The card


def card_parts(card: str) -> tuple[dict, str]:
    _, meta, body = card.split("---\n", 2)
    return yaml.safe_load(meta), body


def test_the_card_has_metadata_that_the_hub_reads(report):
    meta, body = card_parts(render_card(report))
    assert meta["language"] == LANGUAGES and meta["library_name"] == "transformers"
    assert meta["pipeline_tag"] == "fill-mask" and meta["license"] == "unknown"
    assert meta["base_model"] == "Davlan/afro-xlmr-large" and meta["datasets"] == ["HuggingFaceFW/fineweb-2"]
    results = meta["model-index"][0]["results"]
    assert len(results) == 2 * len(LANGUAGES)
    for result in results:
        code = result["dataset"]["config"]
        scores = report.scores[result["task"]["name"]]["student"]
        value = result["metrics"][0]["value"]
        assert value == pytest.approx(scores.score(code), abs=1e-4)
    assert "## Limits and biases" in body and SNIPPET in body


def test_a_sample_has_no_base_model_and_no_data_set_on_the_hub(tmp_path):
    write_inputs(tmp_path, synthetic=True)
    meta, _ = card_parts(render_card(gather(tmp_path)))
    assert "base_model" not in meta and "datasets" not in meta


def test_the_hubs_own_library_reads_the_results(report):
    from huggingface_hub import ModelCard

    results = ModelCard(render_card(report)).data.eval_results
    assert len(results) == 2 * len(LANGUAGES) * 3


def test_the_snippet_is_python():
    ast.parse(SNIPPET)


# The stage


def test_the_stage_writes_three_files_in_two_seconds_without_heavy_imports(tmp_path):
    write_inputs(tmp_path, rows=60)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from stages.report import main; main(); "
        "heavy = {'torch', 'transformers', 'mlflow', 'pandas', 'sklearn', 'datasets', 'matplotlib.pyplot'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", code, str(ROOT)], cwd=tmp_path, check=True)
    assert time.monotonic() - start < 6  # 1.2 s alone; a busy machine takes longer
    for name in ("report.html", "report.md", "model_card.md"):
        assert (tmp_path / "metrics" / name).stat().st_size > 1000


def test_the_cost_of_every_stage_before_the_report_is_read():
    assert costed_stages(["a"]) == [
        "tasks@a", "corpus", "teacher", "vocabulary", "tokenize", "cache_teacher", "distil", "baselines@a",
        "evaluate@teacher-a", "evaluate@student-a",
    ]  # fmt: skip
