"""The seeds of a student's fine-tuning as one model: a soup (Wortsman et al. 2022, arXiv 2203.05482).

Of all seeds, the uniform soup: kept unless its dev score is below the mean of theirs. Greedy, recipe 1 of the paper:
the seed with the best dev score is taken; each other one, in order of its dev score, is added unless the dev score of
the merged model falls. So it is at least as good on dev as the best seed, which alone it may be; with few dev rows that
seed was mostly lucky. The cost at work is that of one seed. Seeds merge where they started from one head
(`finetune.student.shared_head`).

models/finetuned/student/merged/TASK has the form of models/finetuned/student/TASK with one seed, 0.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, write_checksums, write_json
from distil.evaluation.config import MergeConfig
from distil.finetuning.classifier import Classifier, load_classifier
from distil.finetuning.config import FineTuningRecipe
from distil.finetuning.encoding import Encoded, Encoder, join
from distil.finetuning.ngrams import NgramsConfig
from distil.finetuning.saved_models import FinetunedModels, Group
from distil.finetuning.trainer import FineTuningStart, TrainingRows, dev_scores, new_classifier
from distil.modeling.experts import copy_gate
from distil.modeling.tokenizer import copy_tokenizer
from distil.tasks.data import Task
from distil.teacher.merge_methods import merge

SEED = 0  # of the merged model, and of dare's draws


class Soup(NamedTuple):
    """What is merged, and what comes of it."""

    seeds: list[int]  # in the order in which they were added
    dev: float  # mean over languages


def uniform_soup(dev: Mapping[int, float], score: Callable[[list[int]], float]) -> Soup:
    """All seeds, or what `greedy_soup` finds where their merged dev score is below the mean of their own; arguments
    as there.
    """
    seeds = sorted(dev, key=lambda seed: -dev[seed])
    found = score(seeds)
    return Soup(seeds, found) if found >= fmean(dev.values()) else greedy_soup(dev, score)


def greedy_soup(dev: Mapping[int, float], score: Callable[[list[int]], float]) -> Soup:
    """Which seeds to merge.

    Args:
        dev: the dev score of each seed alone; of equal ones the first comes first.
        score: the dev score of some seeds merged.
    """
    first, *others = sorted(dev, key=lambda seed: -dev[seed])
    soup = Soup([first], dev[first])
    for seed in others:
        found = score([*soup.seeds, seed])
        if found >= soup.dev:
            soup = Soup([*soup.seeds, seed], found)
    return soup


def merge_student(models: FinetunedModels, task: Task, config: MergeConfig, out: Path) -> dict[str, Any]:
    """Merge the seeds of each group of languages into one model below `out`.

    Returns:
        `kept`: the merged seeds of each group, `dev`: scores by group and language, of the merged model and the seeds.

    Raises:
        UserError: the seeds started from heads of their own, a classifier does not load, or (ties, dare) the model that
            they started from is gone or another.
    """
    manifest = models.manifest
    if "head_seed" not in manifest["start"]:
        raise UserError(
            f"{models.folder}: expected seeds that started from one head, found none in its manifest.json; set "
            f"finetune.student.shared_head to true and run `dvc repro {models.made_by}`"
        )
    encoder, kept, dev = models.encoder(), {}, {}
    with atomic_folder(out) as folder:
        for group in models.groups:
            rows = _rows(models, task, encoder, group)
            model, kept[group.run(SEED)], dev[group.run(SEED)] = _merge_group(models, group, rows, config)
            model.cpu().save_pretrained(folder / group.run(SEED))
            copy_tokenizer(models.folder / group.run(models.seeds[0]), folder / group.run(SEED))
            copy_gate(models.folder / group.run(models.seeds[0]), folder / group.run(SEED))
        about = {name: manifest[name] for name in manifest if name not in ("best_epoch", "history")}
        merged = {"members": config.members, "method": config.method, "density": config.density, "of": models.seeds,
                  "kept": kept, "dev_of_seeds": manifest["dev"]}  # fmt: skip
        write_json(folder / "manifest.json", about | {"seeds": [SEED], "dev": dev, "merged": merged})
        write_checksums(folder)
    return {"members": config.members, "method": config.method, "seeds": models.seeds, "kept": kept, "dev": dev}


def _rows(models: FinetunedModels, task: Task, encoder: Encoder, group: Group) -> TrainingRows:
    """The rows that the classifiers of a group were trained on and chosen by."""
    manifest, train, dev = models.manifest, list[Encoded](), {}
    for number, code in enumerate(manifest["languages"]):
        if code in group.languages:
            train.append(encoder.split(task, code, number, "train"))
            train += [encoder.unlabelled(task, code, number)] if manifest["task_distillation"] else []
            dev[code] = encoder.split(task, code, number, "dev")
    return TrainingRows(task.kind, task.labels, manifest["languages"], join(train), dev, encoder.pad_id)


def _merge_group(
    models: FinetunedModels, group: Group, rows: TrainingRows, config: MergeConfig
) -> tuple[Classifier, list[int], dict[str, float]]:
    """The merged model, its seeds and its dev score by language."""
    manifest, found = models.manifest, {}
    each = {
        seed: load_classifier(
            models.folder / group.run(seed), rows.kind, rows.labels, models.max_length, models.made_by, rows.languages
        )
        for seed in models.seeds
    }
    weights = {seed: _weights(model) for seed, model in each.items()}
    model = each[models.seeds[0]]
    base = _start(models, rows) if config.method in ("ties", "dare") else weights[models.seeds[0]]

    def score(seeds: Sequence[int]) -> float:
        _put(model, merge(config.method, [weights[seed] for seed in seeds], base, config.density, SEED))
        found[tuple(seeds)] = {code: round(value, 6) for code, value in dev_scores(model, rows).items()}
        return float(np.mean(list(found[tuple(seeds)].values())))

    alone = {seed: float(np.mean(list(manifest["dev"][group.run(seed)].values()))) for seed in models.seeds}
    soup = {"all": uniform_soup, "greedy": greedy_soup}[config.members](alone, score)
    if tuple(soup.seeds) not in found:  # the best seed alone
        found[tuple(soup.seeds)] = manifest["dev"][group.run(soup.seeds[0])]
    _put(model, merge(config.method, [weights[seed] for seed in soup.seeds], base, config.density, SEED))
    return model, soup.seeds, found[tuple(soup.seeds)]


def _start(models: FinetunedModels, rows: TrainingRows) -> dict[str, Tensor]:
    """The weights from which all seeds started, made again: the student before fine-tuning, and the shared head."""
    start, recipe = models.manifest["start"], models.manifest["recipe"]
    file = Path(start["folder"]) / "model.safetensors"
    if not file.is_file() or sha256_file(file) != start["weights_sha256"]:
        raise UserError(
            f"{file}: expected the student that {models.folder} was fine-tuned from, found "
            f"{'another' if file.is_file() else 'no such file'}; run `dvc repro {models.made_by}`"
        )
    ngrams = NgramsConfig.model_validate(recipe["ngrams"]) if recipe["ngrams"] else None
    head = int(start["head_seed"])
    about = FineTuningStart(file.parent, models.made_by, models.max_length, head, head, "merge")
    return _weights(new_classifier(about, rows, FineTuningRecipe(**recipe | {"ngrams": ngrams})))


def _weights(model: Classifier) -> dict[str, Tensor]:
    """Its parameters on the CPU, a tied one once; the n-gram table is among them."""
    return {name: parameter.detach().cpu().clone() for name, parameter in model.named_parameters()}


@torch.no_grad()
def _put(model: Classifier, weights: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
