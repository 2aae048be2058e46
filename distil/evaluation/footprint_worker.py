"""A model in a process of its own, which loads it, runs it and reports its memory."""

import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from distil.core.errors import UserError
from distil.modeling.shape import count_parameters
from distil.modeling.tokenizer import load_tokenizer, special_ids
from distil.modeling.xlm_roberta import load_masked_lm
from distil.runtime.machine import peak_memory
from distil.runtime.progress import silence_transformers

STAGES = {"teacher": "teacher", "student": "distil"}  # which makes the folder
NO_PART = ("README.md", "manifest.json", "checksums.json")  # a model runs without these


def answer_requests(connection: Connection, folder: Path, name: str, threads: int) -> None:
    """Answer orders until the other end is closed: load, run, memory. A fault of the input is an answer, too."""
    torch.set_num_threads(threads)
    silence_transformers()
    before = peak_memory()
    model: LoadedModel | None = None
    while True:
        try:
            order, content = connection.recv()
        except EOFError:
            return
        answer: Any = None
        try:
            if order == "load":
                model = LoadedModel(folder, STAGES.get(name, name))
                answer = model.description
            elif order == "memory":
                answer = {"peak_memory_mib": round(peak_memory() / 2**20), "empty_memory_mib": round(before / 2**20)}
            elif model is not None:
                answer = model.run(*content)
        except UserError as error:
            answer = error
        connection.send(answer)


class LoadedModel:
    """The encoder of a masked language model, with its tokenizer."""

    def __init__(self, folder: Path, made_by: str) -> None:
        whole = load_masked_lm(folder, made_by)
        self.description = {
            **count_parameters(whole),
            "disk_bytes": sum(path.stat().st_size for path in folder.iterdir() if path.name not in NO_PART),
        }
        self._encoder = whole.roberta.eval()
        self._tokenizer = load_tokenizer(folder, made_by)
        pad = special_ids(self._tokenizer).pad
        self._tokenizer.enable_truncation(whole.config.max_position_embeddings - pad - 1)
        self._tokenizer.enable_padding(pad_id=pad, pad_token="<pad>")

    @torch.inference_mode()
    def run(self, batches: list[list[str]], repeats: int) -> tuple[float, int]:
        """Seconds of one pass over all batches, tokenising included, and its tokens, padding left out."""
        tokens = 0
        start = time.perf_counter()
        for _ in range(repeats):
            for texts in batches:
                tokens += self._encode(self._tokenizer, texts)
        return (time.perf_counter() - start) / repeats, tokens // repeats

    def _encode(self, tokenizer: Tokenizer, texts: list[str]) -> int:
        encodings = tokenizer.encode_batch(texts)
        mask = torch.tensor([encoding.attention_mask for encoding in encodings])
        self._encoder(torch.tensor([encoding.ids for encoding in encodings]), attention_mask=mask)
        return int(mask.sum())
