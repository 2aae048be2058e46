"""Figures of the export: no difference where there is none, each kind measured, the keys as documented."""

import pytest

from distil.core.files import read_json, write_json
from distil.serving import parity
from distil.serving.onnx_export import MASKED_LM
from distil.serving.parity import compare_exported, cost, summary
from distil.serving.speed import serving_cost
from distil.tasks.data import read_task
from tests.support import toy
from tests.support.exported import CLASSES, CONFIG, LABELS, source


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """40 test rows of each kind in both languages, labelled at random."""
    import json
    import random

    root, rng = tmp_path_factory.mktemp("tasks"), random.Random(0)
    for name, kind in (("words", "text_classification"), ("names", "token_classification")):
        for number, code in enumerate(toy.LANGUAGES):
            rows = []
            for line in toy.sentences(40, 40 + number):
                if kind == "text_classification":
                    rows.append({"text": line, "label": rng.choice(LABELS[kind])})
                else:
                    rows.append({"tokens": line.split(), "tags": [rng.choice(LABELS[kind]) for _ in line.split()]})
            (root / name / code).mkdir(parents=True)
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (root / name / code / "test.jsonl").write_text(text)
        counts = {code: {"test": {"rows": 40}} for code in toy.LANGUAGES}
        write_json(root / name / "manifest.json", {"task": name, "kind": kind, "labels": LABELS[kind],
                                                   "normalised": False, "languages": counts})  # fmt: skip
    return {name: read_task(root / name) for name in ("words", "names")}


@pytest.mark.parametrize("kind", CLASSES)
def test_float32_differs_by_rounding_and_int8_by_few_answers(exports, tasks, kind) -> None:
    made = source(exports, kind)
    found = compare_exported(made, exports / "models/onnx" / made.name, tasks[made.task or "words"], CONFIG)
    assert 0 < found["max_abs_logit_diff_fp32"] < 2e-5
    assert found["int8_bytes"] < found["fp32_bytes"] and found["int8_bytes"] < found["int8_folder_bytes"]
    assert list(found["languages"]) == toy.LANGUAGES
    for language in found["languages"].values():
        assert language["same_answer_int8"] > 0.7
        if kind != "masked_lm":
            drop = language["weighted_f1"] - language["weighted_f1_int8"]
            assert language["weighted_f1_drop_int8"] == pytest.approx(drop, abs=2e-6)
            assert abs(drop) < 0.3


def test_a_model_that_is_its_own_export_loses_nothing(exports, tasks, tmp_path) -> None:
    import shutil

    made = source(exports, "text_classification")
    for precision in ("fp32", "int8"):  # the float32 model in both places
        shutil.copytree(exports / "models/onnx/words/fp32", tmp_path / precision)
    found = compare_exported(made, tmp_path, tasks["words"], CONFIG)
    for language in found["languages"].values():
        assert language["same_answer_int8"] == 1 and language["weighted_f1_drop_int8"] == 0
        assert language["rows"] == 40


def test_cost_and_summary_have_the_documented_keys(exports, tasks, monkeypatch) -> None:
    monkeypatch.setattr(parity, "SERVED_LINES", 100)
    made = source(exports, "text_classification")
    out = exports / "models/onnx/words"
    costs = cost(made, out, tasks["words"], exports / "models/student", CONFIG)
    assert costs["serving_lines"] == 100 and costs["serving_peak_mb"] > 0
    rates = costs["tokens_per_second"][str(costs["threads"][0])]
    assert costs["threads"][0] == 1 and set(rates) == {"teacher_fp32", "student_fp32", "student_int8"}
    ratio = rates["student_int8"] / rates["teacher_fp32"]
    assert costs["speedup_vs_teacher_fp32"] == pytest.approx(ratio, abs=0.006)
    entry = compare_exported(made, out, tasks["words"], CONFIG)
    found = summary({"words": entry, MASKED_LM: {"fp32_bytes": 1}}, ["words"], costs)
    assert {"int8_bytes", "fp32_bytes", "speedup_vs_teacher_fp32", "max_abs_logit_diff_fp32", "weighted_f1_drop_int8",
            "serving_peak_mb"} <= set(found)  # fmt: skip
    assert found["weighted_f1_drop_int8"] == {
        code: entry["languages"][code]["weighted_f1_drop_int8"] for code in toy.LANGUAGES
    }
    assert found["int8_bytes"] == (out / "int8/model.onnx").stat().st_size == read_size(found, "words")


def read_size(found: dict, name: str) -> int:
    return found["models"][name]["int8_bytes"]


def test_memory_is_that_of_the_serving_process_not_of_its_parent(exports) -> None:
    weight = bytearray(300 * 10**6)  # a parent larger than the child
    served = serving_cost(exports / "models/onnx/words/int8", ["zuri sana"] * 10, 1)
    assert served["lines"] == 10 and served["peak_mb"] < 200 < len(weight) / 10**6
    assert read_json(exports / "models/onnx/words/int8/manifest.json", "export")["precision"] == "int8"
