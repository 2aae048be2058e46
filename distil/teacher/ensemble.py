"""Several masked language models as one teacher, mixed before the entries of the cache are drawn.

Their distributions are averaged with weights that differ by language, as in Collective Wisdom (arXiv 2010.05445): those
with the least loss on the language's held-out text. The student sees one distribution, in the same cache format.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import XLMRobertaForMaskedLM

from distil.compute.distributed import Processes
from distil.core.errors import UserError
from distil.core.mixture import least_loss_weights
from distil.core.params import NO_FOLDER
from distil.modeling.xlm_roberta import load_masked_lm
from distil.teacher.model_folders import check_pieces, model_folders, weights_sha256
from distil.teacher.outputs import TeacherPass
from distil.tokenization.shards import TokenizedDataset

log = logging.getLogger("distil")

KEY = "cache_teacher.ensemble"
TEACHER = "teacher"  # the name of models/teacher among the models
DIGITS = 6  # figures of a weight, decimals of a loss


class Mixture(NamedTuple):
    """How the models share one language."""

    weights: dict[str, float]  # by model, 1 in sum
    heldout_loss: dict[str, float]  # nats a masked piece, by model and of `together`; empty but in the main process


def load_ensemble(path: str, teacher: Path, longest: int) -> tuple[dict[str, XLMRobertaForMaskedLM], dict[str, str]]:
    """The models that predict beside the teacher, and the checksums of their weights, by folder name.

    Args:
        path: `cache_teacher.ensemble`; NO_FOLDER for none.
        teacher: models/teacher.
        longest: tokens in a sequence of the prepared text at most.

    Raises:
        UserError: no model there, one that is called as the teacher is, has other pieces or reads fewer tokens.
    """
    if path == NO_FOLDER:
        return {}, {}
    models = {}
    for folder in model_folders(Path(path), 1, KEY, f"set it to {NO_FOLDER} for none"):
        if folder.name == TEACHER:
            raise UserError(
                f"params.yaml: {KEY}: {folder}: {TEACHER!r} is the name of models/teacher; rename the folder"
            )
        check_pieces(folder, teacher)
        model = load_masked_lm(folder, None)
        room = model.config.max_position_embeddings - 2
        if room < longest:
            raise UserError(
                f"params.yaml: {KEY}: {folder}: expected a model that reads {longest} tokens, as tokenize.max_length "
                f"says, found {room}; take another model, or set tokenize.max_length to {room}"
            )
        models[folder.name] = model
    return models, {name: weights_sha256(Path(path) / name) for name in models}


def fit_mixture(outputs: TeacherPass, text: TokenizedDataset, names: Sequence[str], processes: Processes) -> Mixture:
    """The mixture of the models in one language; its weights are the same in every process.

    Args:
        outputs: the teacher and the models beside it.
        text: the language's.
        names: of the models, the teacher's first.
        processes: those that share the work; the main one measures.
    """
    weights, losses = np.full(len(names), 1 / len(names)), {}
    if processes.is_main:
        shards = [text.open(entry) for entry in text.shards("heldout")]
        true = np.concatenate([outputs.true_log_probs(shard, text.manifest["pad_id"]) for shard in shards], axis=1)
        weights = least_loss_weights(true)
        together = np.logaddexp.reduce(true + np.log(weights)[:, None], axis=0)
        losses = {name: round(-float(row.mean()), DIGITS)
                  for name, row in zip([*names, "together"], [*true, together], strict=True)}  # fmt: skip
        log.info("cache_teacher: %s: held-out masked-LM loss in nats: %s", text.manifest["language"],
                 ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))  # fmt: skip
    # Rounded, so that a cache made again has the same key; to figures, since no weight may become 0.
    shared = [float(f"{processes.from_main(float(weight)):.{DIGITS}g}") for weight in weights]
    return Mixture(dict(zip(names, shared, strict=True)), losses)
