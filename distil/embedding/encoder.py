"""The student becomes a sentence encoder: its vectors of a sentence and of its translation learn the teacher's vector.

    loss = (MSE(s(pivot), t(pivot)) + MSE(s(text), t(pivot))) / 2 + ranking_weight * ranking

with `t(pivot)` the teacher's vector of the pivot sentence, centred and scaled (Reimers and Gurevych 2020, arXiv
2004.09813, equation 1), and `ranking` the cross-entropy of the translation among the sentences of the batch, by cosine
times `ranking_scale`, in both directions (van den Oord et al. 2018, arXiv 1807.03748; symmetric as in arXiv
2310.19923). Losses, trainer and the folder are those of sentence-transformers.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.base.sampler import BatchSamplers
from sentence_transformers.sentence_transformer.losses import MSELoss, MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from transformers.trainer_utils import get_last_checkpoint

from distil.embedding.config import EncoderConfig
from distil.embedding.data import Pair
from distil.embedding.teacher_vectors import sentence_vectors
from distil.modeling.xlm_roberta import load_masked_lm

log = logging.getLogger("distil")

LOG_EVERY = 50
FITTED = 4000  # sentences; 256 inputs to 384 outputs: 500 find 88 % of their own targets, 4,000 99 %
RIDGE = 0.01
BODY = {"add_pooling_layer": False}


class DistilAndRank(nn.Module):
    """Both losses from one forward pass, logged by name."""

    def __init__(self, model: SentenceTransformer, config: EncoderConfig) -> None:
        super().__init__()
        self.model, self.weight = model, config.ranking_weight
        self.mse = MSELoss(model)
        self.ranking = MultipleNegativesRankingLoss(
            model, config.ranking_scale, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        )

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> dict[str, Tensor]:
        """The two terms, whose sum is the loss."""
        embeddings = embed_columns(self.model, sentence_features)
        terms = {"mse": self.mse.compute_loss_from_embeddings(embeddings, [labels] * len(embeddings))}
        if self.weight:
            terms["ranking"] = self.weight * self.ranking.compute_loss_from_embeddings(embeddings, labels)
        return terms


class EncoderTrainer(SentenceTransformerTrainer):
    """The library's trainer, which would look for a pooler in a checkpoint of a model without one."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        loaded = SentenceTransformer(resume_from_checkpoint, model_kwargs=BODY)
        self.model.load_state_dict(loaded.state_dict())


def open_student(folder: Path, pairs: list[Pair], targets: np.ndarray, config: EncoderConfig) -> SentenceTransformer:
    """The student, the mean of its last states, and a linear map of it to the teacher's vectors, fitted on pivots.

    The map is ridge regression on FITTED sentences. From a random one the first hundred steps are spent on it.

    Raises:
        UserError: the student does not load.
    """
    load_masked_lm(folder, "distil")  # refuses what sentence-transformers would fill at random
    body = Transformer(str(folder), model_kwargs=BODY, max_seq_length=config.max_length)
    width = body.get_embedding_dimension()
    chosen = np.random.default_rng(config.seed).permutation(len(pairs))[:FITTED]
    texts = [pairs[number].pivot for number in chosen]
    states = sentence_vectors(folder, "distil", texts, config.max_length, config.precision)
    weight, bias = ridge(states, targets[chosen])
    dense = Dense(width, targets.shape[1], activation_function=nn.Identity(), init_weight=torch.from_numpy(weight),
                  init_bias=torch.from_numpy(bias))  # fmt: skip
    return SentenceTransformer(modules=[body, Pooling(width, "mean"), dense])


def ridge(inputs: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight (D, H) and bias (D,), float32, of the linear map from (N, H) to (N, D) with least squares and a penalty.

    The penalty is RIDGE times N and the mean variance of an input.
    """
    mean, aim = inputs.mean(axis=0, dtype=np.float64), outputs.mean(axis=0, dtype=np.float64)
    away = inputs - mean
    penalty = RIDGE * len(away) * away.var(axis=0).mean() * np.eye(away.shape[1])
    weight = np.linalg.solve(away.T @ away + penalty, away.T @ (outputs - aim)).T
    return weight.astype(np.float32), (aim - weight @ mean).astype(np.float32)


def train_encoder(
    student: Path, pairs: list[Pair], targets: np.ndarray, config: EncoderConfig, scratch: Path, out: Path
) -> list[dict[str, Any]]:
    """Train on pairs and write a sentence-transformers folder; a killed run goes on from its last checkpoint.

    Args:
        student: models/student.
        pairs: N pairs of all languages.
        targets: (N, D) float32, of each pair the teacher's vector, centred and scaled.
        config: `training:` of the block.
        scratch: for checkpoints.
        out: the folder; its vectors have length 1.

    Returns:
        The logged losses, a row each LOG_EVERY steps.
    """
    torch.manual_seed(config.seed)
    model = open_student(student, pairs, targets, config)
    rows = Dataset.from_dict({
        "pivot": [pair.pivot for pair in pairs], "text": [pair.text for pair in pairs], "label": list(targets),
    })  # fmt: skip
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(scratch), max_steps=config.steps, per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate, warmup_steps=round(config.warmup_fraction * config.steps),
        weight_decay=0.01, max_grad_norm=1.0, bf16=config.precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(), seed=config.seed, data_seed=config.seed,
        batch_sampler=BatchSamplers.NO_DUPLICATES, logging_steps=LOG_EVERY, save_steps=config.checkpoint_every,
        save_total_limit=1, report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = EncoderTrainer(model=model, args=arguments, train_dataset=rows, loss=DistilAndRank(model, config))
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(scratch)))
    model.append(Normalize())
    model.save(str(out), create_model_card=False)  # its own card quotes the training text
    return [
        {"step": row["step"], **{name: float(row[name]) for name in ("mse", "ranking") if name in row}}
        for row in trainer.state.log_history if "loss" in row
    ]  # fmt: skip
