"""Toy models of every kind, fine-tuned in name only, and their exports: made once a session (conftest.py)."""

from pathlib import Path

import torch
from transformers import (
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaForSequenceClassification,
    XLMRobertaForTokenClassification,
)

from distil.core.files import write_json
from distil.modeling.tokenizer import special_ids
from distil.serving.onnx_export import ExportConfig, ExportSource, export
from distil.teacher.pretraining import train_tokenizer
from tests.support import toy

CONFIG = ExportConfig(opset=20, per_channel=True, masked_lm=True, embeddings="row4", speed_rows=20, repetitions=1)
LABELS = {
    "text_classification": ["good", "fair", "bad"],
    "token_classification": ["O", "B-PER", "I-PER"],
    "masked_lm": [],
}
CLASSES = {
    "text_classification": XLMRobertaForSequenceClassification,
    "token_classification": XLMRobertaForTokenClassification,
    "masked_lm": XLMRobertaForMaskedLM,
}
TASKS = {"words": "text_classification", "names": "token_classification"}
MAX_LENGTH = 24


def make_model(folder: Path, kind: str, seed: int = 0) -> None:
    """A Hugging Face folder with random weights that make answers differ from text to text."""
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(toy.sentences(300, 0), 150, folder)
    special, labels = special_ids(tokenizer), LABELS[kind]
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: n for n, label in enumerate(labels)}}
    torch.manual_seed(seed)
    model = CLASSES[kind](
        XLMRobertaConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
            bos_token_id=special.bos, pad_token_id=special.pad, eos_token_id=special.eos, **(named if labels else {}),
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.dim() > 1 else 1)
    model.save_pretrained(folder)


def source(root: Path, kind: str) -> ExportSource:
    """What is exported of `make_exports`."""
    task = {kind: task for task, kind in TASKS.items()}.get(kind)
    folder = root / "models/finetuned/student" / task / "seed-1" if task else root / "models/student"
    max_length = MAX_LENGTH if task else 512
    return ExportSource(task or "masked_lm", folder, kind, task, toy.LANGUAGES, max_length)


def make_exports(root: Path) -> Path:
    """models/student, models/finetuned/student/{words,names} and models/onnx of all three below `root`."""
    for seed, kind in enumerate(CLASSES):
        made = source(root, kind)
        make_model(made.folder, kind, seed)
        if made.task:
            write_json(made.folder.parent / "manifest.json", {
                "model": "student", "task": made.task, "kind": kind, "labels": LABELS[kind], "normalised": False,
                "max_length": MAX_LENGTH, "languages_mode": "joint", "seeds": [1], "languages": toy.LANGUAGES,
                "dev": {"seed-1": dict.fromkeys(toy.LANGUAGES, 0.5)},
            })  # fmt: skip
        export(made, CONFIG, root / "models/onnx" / made.name)
    return root
