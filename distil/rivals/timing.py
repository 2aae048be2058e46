"""Size, memory and speed of a rival, measured in turn with the teacher in float32 (evaluation/footprint.py)."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distil.evaluation.footprint import FootprintConfig, measure
from distil.evaluation.footprint_worker import TimedModel, cut_and_pad, disk_bytes
from distil.serving.model_info import open_tokenizer, read_card
from distil.serving.runtime import OnnxRuntime
from distil.tasks.data import Task


class TimedGraph(TimedModel):
    """A rival's folder, from text to logits."""

    def __init__(self, folder: Path, made_by: str) -> None:
        card = read_card(folder)
        self.description = {"disk_bytes": disk_bytes(folder)}
        self._runtime = OnnxRuntime(folder / "model.onnx", torch.get_num_threads())
        self.tokenizer = open_tokenizer(folder, card)
        cut_and_pad(self.tokenizer, card.max_length)

    def forward(self, input_ids: list[list[int]], attention_mask: list[list[int]]) -> None:
        """As of `TimedModel`."""
        self._runtime.logits(np.array(input_ids, np.int64), np.array(attention_mask, np.int64))


def measure_rival(
    name: str, folder: Path, teacher: Path, task: Task, languages: list[str], config: FootprintConfig, stage: str
) -> dict[str, Any]:
    """The rival and the teacher's encoder in turn, on words of the task's test rows.

    Args:
        name: the rival's.
        folder: with its model.onnx.
        teacher: models/teacher.
        task: whose test texts are read.
        languages: that the rival in `folder` serves.
        config: section `footprint:`.
        stage: named in errors.

    Returns:
        As metrics/footprint.json, without the machine.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = {code: Path(scratch) / f"{code}.txt" for code in languages}
        for code, path in files.items():
            path.write_text("".join(f"{text}\n" for text in task.texts(code, "test")), encoding="utf-8")
        models = {"teacher": teacher, name: folder}
        return measure(models, files, config, stage, {name: TimedGraph})
