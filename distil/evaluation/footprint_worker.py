"""A model in a process of its own, which loads it, runs it and reports its memory."""

import time
from abc import ABC, abstractmethod
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from distil.core.errors import UserError
from distil.evaluation.footprint import Opener
from distil.modeling.experts import expert_languages, load_student
from distil.modeling.shape import count_parameters
from distil.modeling.tokenizer import load_tokenizer, max_tokens, special_ids
from distil.runtime.machine import peak_memory
from distil.runtime.progress import silence_transformers

STAGES = {"teacher": "teacher", "student": "distil"}  # which makes the folder
NO_PART = ("README.md", "manifest.json", "checksums.json")  # a model runs without these


def answer_requests(connection: Connection, folder: Path, name: str, threads: int, opener: Opener | None) -> None:
    """Answer orders until the other end is closed: load, run, memory. A fault of the input is an answer, too."""
    torch.set_num_threads(threads)
    silence_transformers()
    before = peak_memory()
    model: TimedModel | None = None
    while True:
        try:
            order, content = connection.recv()
        except EOFError:
            return
        answer: Any = None
        try:
            if order == "load":
                model = (opener or LoadedModel)(folder, STAGES.get(name, name))
                answer = model.description
            elif order == "memory":
                answer = {"peak_memory_mib": round(peak_memory() / 2**20), "empty_memory_mib": round(before / 2**20)}
            elif model is not None:
                answer = model.run(*content)
        except UserError as error:
            answer = error
        connection.send(answer)


class TimedModel(ABC):
    """A model with its tokenizer, which cuts and pads."""

    description: dict[str, Any]
    tokenizer: Tokenizer

    @abstractmethod
    def forward(self, input_ids: list[list[int]], attention_mask: list[list[int]]) -> None:
        """Read a padded batch."""

    @torch.inference_mode()
    def run(self, batches: list[list[str]], repeats: int) -> tuple[float, int]:
        """Seconds of one pass over all batches, tokenising included, and its tokens, padding left out."""
        tokens = 0
        start = time.perf_counter()
        for _ in range(repeats):
            for texts in batches:
                encodings = self.tokenizer.encode_batch(texts)
                masks = [encoding.attention_mask for encoding in encodings]
                self.forward([encoding.ids for encoding in encodings], masks)
                tokens += sum(map(sum, masks))
        return (time.perf_counter() - start) / repeats, tokens // repeats


class LoadedModel(TimedModel):
    """The encoder of a masked language model."""

    def __init__(self, folder: Path, made_by: str) -> None:
        whole: Any = load_student(folder, made_by)
        self.description = {**count_parameters(whole), "disk_bytes": disk_bytes(folder)}
        self._encoder, self._experts = whole.roberta.eval(), bool(expert_languages(whole))
        self.tokenizer = load_tokenizer(folder, made_by)
        cut_and_pad(self.tokenizer, max_tokens(whole.config.to_dict()))

    def forward(self, input_ids: list[list[int]], attention_mask: list[list[int]]) -> None:
        """As of `TimedModel`."""
        expert = {"lang_ids": torch.zeros(len(input_ids), dtype=torch.int64)} if self._experts else {}  # the first one
        self._encoder(torch.tensor(input_ids), attention_mask=torch.tensor(attention_mask), **expert)


def disk_bytes(folder: Path) -> int:
    """Bytes of what a model runs with."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.name not in NO_PART)


def cut_and_pad(tokenizer: Tokenizer, tokens: int) -> None:
    """Make a tokenizer cut a text at so many tokens and pad a batch."""
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(pad_id=special_ids(tokenizer).pad, pad_token="<pad>")
