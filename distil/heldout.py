"""How well a student follows its teacher on held-out text, language by language."""

from typing import Any

import numpy as np
import torch

from distil.batches import CorpusIndex
from distil.losses import logit_kd, masked_lm
from distil.objective import Objective
from distil.targets import weigh_entries


@torch.no_grad()
def measure(objective: Objective, index: CorpusIndex, languages: list[str], batch_tokens: int) -> dict[str, Any]:
    """Means over the masked positions (and cached attention rows) of each language.

    Returns:
        {language: {"positions", "loss", "logit_kd", "attention", "kl", "student_nll", "student_accuracy",
        "teacher_accuracy"}}: `loss` as trained; `kl` KL(teacher ‖ student) at temperature 1 in nats on the cached
        entries, `student_nll` in nats, accuracies 0 to 1.
    """
    student = objective._student[0]
    training = student.training
    student.eval()
    device = next(student.parameters()).device
    form = objective.sampling["heldout"]
    names = ("positions", "rows", "logit_kd", "attention", "kl", "student_nll", "student_accuracy", "teacher_accuracy")
    sums = {name: np.zeros(len(languages)) for name in names}

    def add(name: str, values: torch.Tensor, owners: torch.Tensor) -> None:
        if len(values):
            sums[name] += np.bincount(owners.cpu(), weights=values.double().cpu(), minlength=len(languages))

    for drawn in index.in_order(batch_tokens):
        batch = index.load(drawn).to(device)
        logits = objective.logits(batch)
        terms = objective.terms(batch, logits, "heldout")
        owners, row_owners = terms.position_languages, terms.row_languages
        plain = weigh_entries(batch.kept, form.form, 1.0, form.sampling_temperature)
        add("positions", torch.ones_like(terms.logit_kd), owners)
        add("rows", torch.ones_like(row_owners), row_owners)
        add("logit_kd", terms.logit_kd, owners)
        add("attention", terms.attention, row_owners)
        add("kl", logit_kd(logits, plain, 1.0), owners)
        add("student_nll", masked_lm(logits, batch.gold), owners)
        add("student_accuracy", logits.argmax(dim=-1) == batch.gold, owners)
        most_probable = batch.kept.ids.gather(1, batch.kept.log_probs.argmax(dim=-1, keepdim=True)).squeeze(1)
        add("teacher_accuracy", most_probable == batch.gold, owners)
    student.train(training)
    result = {}
    loss = objective.loss
    for number, language in enumerate(languages):
        positions, rows = sums["positions"][number], max(sums["rows"][number], 1.0)
        means = {
            name: float(sums[name][number] / (rows if name == "attention" else positions))
            for name in names
            if name not in ("positions", "rows")
        }
        means["loss"] = (
            loss.alpha * means["logit_kd"]
            + (1 - loss.alpha) * means["attention"]
            + loss.masked_lm * means["student_nll"]
        )
        result[language] = {"positions": int(positions), **{name: round(value, 6) for name, value in means.items()}}
    return result
