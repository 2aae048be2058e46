"""How well sentences find their translation by the vectors of each model: metrics/embedding/NAME.json.

Models: `teacher` and `student`, means of their last states; both `_centred`, less each
language's mean over the test sentences, which needs to know the language and favours them; `encoder`, what was trained;
`encoder_int8`, its ONNX file.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distil.embedding.config import EmbeddingConfig
from distil.embedding.data import Pairs
from distil.embedding.retrieval import Hits, accuracy, all_hits, centred, difference, hits
from distil.embedding.teacher_vectors import maker, scaled, sentence_vectors
from distil.serving.predictor import Predictor

MODELS = ("teacher", "teacher_centred", "student", "student_centred", "encoder", "encoder_int8")
BASELINE = "teacher_centred"
Vectors = dict[str, np.ndarray]  # by language, the pivot first


class Folders(NamedTuple):
    """Models to compare."""

    teacher: Path
    student: Path
    encoder: Path  # models/embedding/NAME


def encoder_vectors(folder: Path, texts: list[str]) -> np.ndarray:
    """(N, D) float32 vectors of length 1 of the sentence-transformers folder."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(texts)


def int8_vectors(folder: Path, texts: list[str]) -> np.ndarray:
    """(N, D) float32 vectors of the ONNX folder."""
    return np.array([answer["vector"] for answer in Predictor(folder, threads=1)(texts)], np.float32)


def evaluate_encoder(pairs: Pairs, folders: Folders, config: EmbeddingConfig) -> dict[str, Any]:
    """Accuracies of every model, per cent, with 95 % intervals, and what the encoder has over the centred teacher.

    Args:
        pairs: of which the test sentences are read.
        folders: the models.
        config: the block.
    """
    length = config.training.max_length

    def of(folder: Path, made_by: str | None) -> Vectors:
        return {code: sentence_vectors(folder, made_by, texts, length, "float32") for code, texts in pairs.test.items()}

    plain = {"teacher": of(folders.teacher, maker(folders.teacher)), "student": of(folders.student, "distil")}
    models: dict[str, Vectors] = {}
    for name, vectors in plain.items():
        models |= {name: vectors, f"{name}_centred": {code: centred(each) for code, each in vectors.items()}}
    for name, read, folder in (
        ("encoder", encoder_vectors, folders.encoder / "sentence-transformers"),
        ("encoder_int8", int8_vectors, folders.encoder / "int8"),
    ):
        models[name] = {code: read(folder, texts) for code, texts in pairs.test.items()}
    found = {name: all_hits(vectors) for name, vectors in models.items()}
    target, resamples = scaled(plain["teacher"][pairs.pivot]), config.bootstrap_resamples
    return {
        "pivot": pairs.pivot,
        "sentences": len(pairs.test[pairs.pivot]),
        "models": {name: _scores(each, pairs.pivot, resamples) for name, each in found.items()},
        "gain": {
            kind: difference(_chosen(found["encoder"], pairs.pivot, kind),
                             _chosen(found[BASELINE], pairs.pivot, kind), resamples)
            for kind in ("with_pivot", "between") if _chosen(found["encoder"], pairs.pivot, kind)
        },
        "pivot_finds_teacher": accuracy([hits(models["encoder"][pairs.pivot], target)], resamples),
    }  # fmt: skip


def _chosen(found: Hits, pivot: str, kind: str) -> list[np.ndarray]:
    """The hits of the pairs of languages that have the pivot, or of those `between` the others."""
    return [each for languages, each in found.items() if (pivot in languages) == (kind == "with_pivot")]


def _scores(found: Hits, pivot: str, resamples: int) -> dict[str, Any]:
    """Each pair of languages, their mean with the pivot and, where there are others, between the others."""
    means = {kind: _chosen(found, pivot, kind) for kind in ("with_pivot", "between")}
    scores: dict[str, Any] = {kind: accuracy(chosen, resamples) for kind, chosen in means.items() if chosen}
    return scores | {"pairs": {"-".join(languages): accuracy([each], resamples) for languages, each in found.items()}}


def as_table(scores: dict[str, Any]) -> str:
    """The scores as a table in Markdown: a row for each model."""
    pivot = scores["pivot"]
    others = [name.split("-")[1] for name in scores["models"][BASELINE]["pairs"] if name.startswith(f"{pivot}-")]
    head = ["", *others, f"with {pivot}", "between the others"]
    lines = [f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
    for name in MODELS:
        model = scores["models"][name]
        cells = [f"{model['pairs'][f'{pivot}-{code}']['accuracy']:.1f}" for code in others]
        for kind in ("with_pivot", "between"):
            mean = model.get(kind)
            cells.append("{:.1f} [{:.1f}, {:.1f}]".format(mean["accuracy"], *mean["interval"]) if mean else "")
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)
