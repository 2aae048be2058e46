"""A decoder on tasks: its predictions, its soft labels as a teacher's, and settings that do not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distil.core.errors import UserError
from distil.core.params import load_params
from distil.decoders import run as module
from distil.decoders.run import run_decoder
from distil.evaluation.decoders import DecoderConfig, load_decoders
from distil.evaluation.predictions import read_predictions
from distil.finetuning.soft_labels import open_soft_labels
from tests.support import lab, toy
from tests.support.decoders import BLOCK, PROMPT, config


def run(out: Path, tasks: tuple[str, ...] = ("words",), **changes: Any) -> dict[str, Any]:
    return run_decoder("tiny", config(**changes), [lab.task_of(task) for task in tasks], toy.LANGUAGES,
                       lab.SCORING.few_labels, out / "targets", out / "predictions", out / "scratch")  # fmt: skip


def test_predictions_are_the_most_likely_labels_and_soft_labels_are_a_teachers(here: Path, tmp_path: Path) -> None:
    figures = run(tmp_path)
    task = lab.task_of("words")
    assert figures["parameters"] > 50_000 and figures["rows"] == 2 * (96 + 20 + 30 + 20)
    labels = open_soft_labels("folder", str(tmp_path / "targets"), task)
    assert labels.manifest["decoder"] == "tiny"
    read = read_predictions(tmp_path / "predictions/words.csv", "decoder@tiny")
    for code in toy.LANGUAGES:
        soft = labels.read(code)
        np.testing.assert_allclose(np.exp(soft["unlabelled"]).sum(axis=1), 1, atol=1e-5)
        (answers,) = read[code].values()
        assert answers.predicted == [task.labels[number] for number in soft["test"].argmax(axis=1)]
        assert answers.gold == [row.label for row in task.text_rows(code, "test")]


def test_a_killed_run_goes_on_behind_its_last_language(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole")
    original, read = module.LabelScorer.log_probs, []

    def log_probs(self: Any, texts: Any, *more: Any) -> Any:
        if len(read) == 5:  # four splits a language
            raise KeyboardInterrupt
        read.append(len(texts))
        return original(self, texts, *more)

    with monkeypatch.context() as patch:
        patch.setattr(module.LabelScorer, "log_probs", log_probs)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed")
        read[:] = []
        run(tmp_path / "killed")
    assert len(read) == 4
    for name in ("targets/words/swa.safetensors", "targets/words/yor.safetensors", "predictions/words.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": {"words": PROMPT, "names": PROMPT}},
         r"decoders.tiny.prompts.names: names is token classification, a decoder scores text classification only"),
        ({"prompts": {"topics": PROMPT}}, r"tiny.prompts: expected a task of evaluate.tasks, words, names, found "),
        ({"names": {"words": {"good": "bad"}}}, r"names.words: two labels are the same text: bad, bad"),
        ({"names": {"words": {"fine": "fine"}}}, r"names.words: expected labels of the task, good, bad, found fine"),
    ],
)  # fmt: skip
def test_a_task_that_does_not_fit_is_refused_before_the_model_is_read(
    here: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, ("words", "names"), path="nowhere", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": {"words": "label: {label}"}}, r"tiny: prompts.words: expected {text} and {label} once each"),
        ({"prompts": {"words": "{label} is {text}"}}, r"{label} last, found '{label} is {text}'"),
        ({"prompts": {"words": "{text} {label}"}}, r"expected words of its own"),
        ({"prompts": {}}, r"tiny.prompts: "),
        ({"names": {"topics": {"a": "b"}}}, r"names.topics: expected a task of prompts, words"),
        ({"names": {"words": {"good": " "}}}, r"names.words: expected a word or more"),
        ({"source": "web"}, r"tiny.source: "), ({"shots": -1}, r"tiny.shots: "), ({"batch_tokens": 1}, "batch_tokens"),
        ({"max_text_tokens": 0}, r"tiny.max_text_tokens: "), ({"precision": "int8"}, "precision"),
        ({"calibrate": 2}, r"tiny.calibrate: "), ({"prompt": "x"}, "did you mean `prompts`"),
    ],
)  # fmt: skip
def test_a_block_with_a_value_out_of_range_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"decoders": {"tiny": BLOCK | changes}}), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_params("decoders.tiny", DecoderConfig, path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("[tiny]", r"decoders: expected blocks by name, or {} for none"), ("{student: {}}", r"student is the name of "),
        ("{a b: {}}", r"expected a name of letters"), ("{tiny: 3}", r"decoders.tiny: expected the keys source, path"),
    ],
)  # fmt: skip
def test_a_section_that_is_no_mapping_of_names_is_refused(tmp_path: Path, section: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"decoders: {section}\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_decoders(path)
