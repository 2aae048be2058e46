"""Validation on held-out text by language: against the true pieces, and against the teacher where there is one."""

from typing import Any

import numpy as np
import torch

from distil.cache.sparse_logits import soft_targets
from distil.losses.logits import logit_kd, masked_lm
from distil.training.data_loader import CachedDataset
from distil.training.objective import Objective


@torch.no_grad()
def evaluate_heldout(
    objective: Objective, data: CachedDataset, languages: list[str], batch_tokens: int
) -> dict[str, Any]:
    """Means over the masked positions (or cached attention rows) of each language.

    Returns:
        {language: {"positions", "loss", "student_nll", "student_accuracy", the terms that are trained, and with a
        teacher "kl", "teacher_accuracy"}}: `loss` as trained; `kl` KL(teacher ‖ student) at temperature 1 in nats on
        the cached entries, `student_nll` in nats, accuracies 0 to 1.
    """
    student = objective.student
    training = student.training
    student.eval()
    device = next(student.parameters()).device
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}

    def add(name: str, values: torch.Tensor, owners: torch.Tensor) -> None:
        if len(values):
            of = owners.cpu().numpy()
            found = np.bincount(of, weights=values.double().cpu().numpy(), minlength=len(languages))
            sums[name] = sums.get(name, 0.0) + found
            counts[name] = counts.get(name, 0) + np.bincount(of, minlength=len(languages))

    for indices in data.sequential_batches(batch_tokens):
        batch = data.collate(indices).to(device)
        logits = objective.logits(batch)
        owners = batch.languages[batch.masked_sequence]
        for name, term in objective.terms(batch, logits, "heldout").items():
            add(name, term.values, term.languages)
        add("student_nll", masked_lm(logits, batch.gold), owners)
        add("student_accuracy", logits.argmax(dim=-1) == batch.gold, owners)
        if objective.has_teacher:
            form = objective.sampling["heldout"]
            plain = soft_targets(batch.teacher_logits, form.form, 1.0, form.sampling_temperature)
            add("kl", logit_kd(logits, plain, 1.0), owners)
            best = batch.teacher_logits.log_probs.argmax(dim=-1, keepdim=True)
            most_probable = batch.teacher_logits.ids.gather(1, best).squeeze(1)
            add("teacher_accuracy", most_probable == batch.gold, owners)
    student.train(training)
    result = {}
    for number, language in enumerate(languages):
        means = {name: float(total[number] / max(1, counts[name][number])) for name, total in sums.items()}
        means["loss"] = objective.total_from_means(means)
        positions = int(counts["student_nll"][number])
        result[language] = {"positions": positions, **{name: round(value, 6) for name, value in means.items()}}
    return result
