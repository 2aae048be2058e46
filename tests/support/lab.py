"""A folder to fine-tune in: the toy world's teacher, also as the student, and two small tasks that can be learned."""

import shutil
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distil.evaluation.config import ALL_LABELS, EvaluateConfig, FewLabelsConfig
from distil.finetuning import trainer
from distil.finetuning.config import FineTuningConfig
from distil.finetuning.run import FineTuning, FineTuningPaths, fine_tune_task
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.soft_labels import SoftLabels
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.tasks.data import Task, read_task
from tests.support import ROOT, toy

PACE = {"epochs": 4, "min_steps": 0, "learning_rate": 0.002, "tagger_learning_rate": 0.002}
CONFIG = FineTuningConfig.model_validate({
    "teacher": PACE, "student": PACE | {"shared_head": False},
    "start": "plain", "batch_size": 8, "max_length": 40, "precision": "float32", "dropout": 0.1,
    "warmup_fraction": 0.1, "weight_decay": 0.01, "guard": 0.0, "tagger": "words",
    "task_distillation": True, "task_temperature": 2.0, "task_weight": 0.5,
    "task_teachers": {"path": "distil/lexicons", "use": ["transformer"], "tags": "words", "sequences": 5},
    "unlabelled": {"weight": "even", "mask_words": 0.0},
    "ngrams": {"max_n": 0, "tag_window": 0, "bits": 10, "learning_rate": 0.2, "alone_weight": 0.3},
})  # fmt: skip
SCORING = EvaluateConfig.model_validate({
    "tasks": ["words"], "seeds": [1], "languages": "joint", "controls": [], "bootstrap_resamples": 200,
    "merge": {"tasks": [], "members": "all", "method": "linear", "density": 0.5},
    "linear_companion": {"tasks": [], "bits": 10}, "few_labels": {"languages": [], "rows": 0},
})  # fmt: skip
TASK: dict[str, Any] = {
    "source": "files", "verify": "", "normalise": False, "marks": "keep", "script": "keep", "dev_from_train": 0.0,
    "max_train_rows": 0, "max_dev_rows": 0, "max_test_rows": 0,
    "max_unlabelled_rows": 20, "unlabelled_choice": "random", "unlabelled": "{lang}/unlabelled.txt",
    "text_column": "text", "label_column": "label",
}  # fmt: skip
LABELS = {"words": ["good", "bad"], "names": ["O", "B-PER", "I-PER"]}
SPLITS = {"train": (0, 96), "dev": (96, 116), "test": (116, 146)}


def make_lab(root: Path, world: Path) -> Path:
    """Models and tasks below `root`, and the code behind links."""
    for name in ("distil", "stages", "dvc.yaml"):
        (root / name).symlink_to(ROOT / name)
    for model in ("teacher", "student"):
        shutil.copytree(world / "models/teacher", root / "models" / model)
    for number, language in enumerate(toy.LANGUAGES):
        lines = toy.sentences(170, 20 + number)
        _write_words(root / "in/words" / language, lines)
        _write_names(root / "in/names" / language, lines)
    for name, kind in (("words", "text_classification"), ("names", "token_classification")):
        path = str(root / "in" / name)
        pattern = "{lang}/{split}.tsv" if name == "words" else "{lang}/{split}.txt"
        config = TaskConfig(path=path, unlabelled_path=path, pattern=pattern, kind=kind, labels=LABELS[name], **TASK)
        write_task(name, config, toy.LANGUAGES, 1, root / "data/tasks" / name)
    return root


def _write_words(folder: Path, lines: list[str]) -> None:
    """The first word tells the label."""
    folder.mkdir(parents=True)
    rows = [f"{('zuri', 'baya')[i % 2]} {line}" for i, line in enumerate(lines)]
    for split, (start, stop) in SPLITS.items():
        labelled = [f"{row}\t{LABELS['words'][i % 2]}" for i, row in enumerate(rows)][start:stop]
        (folder / f"{split}.tsv").write_text("\n".join(["text\tlabel", *labelled]) + "\n", encoding="utf-8")
    (folder / "unlabelled.txt").write_text("\n".join(rows[146:]) + "\n", encoding="utf-8")


def _write_names(folder: Path, lines: list[str]) -> None:
    """After `bwana` come a name of two words."""
    folder.mkdir(parents=True)
    sentences = [[*line.split()[:2], "bwana", "Juma", "Otieno", *line.split()[2:3]] for line in lines]
    for split, (start, stop) in SPLITS.items():
        tagged = [[(word, {"Juma": "B-PER", "Otieno": "I-PER"}.get(word, "O")) for word in words]
                  for words in sentences[start:stop]]  # fmt: skip
        text = "\n".join("".join(f"{word} {tag}\n" for word, tag in words) for words in tagged)
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    (folder / "unlabelled.txt").write_text("\n".join(map(" ".join, sentences[146:])) + "\n", encoding="utf-8")


def task_of(name: str) -> Task:
    """A task of the lab, which is the working directory."""
    return read_task(Path("data/tasks") / name)


def make_tuned_lab(root: Path, world: Path, model: str, name: str, config: FineTuningConfig = CONFIG) -> Path:
    """`make_lab` with one model fine-tuned in it."""
    make_lab(root, world)
    with chdir(root):
        tuned(model, name, config=config)
    return root


def tuned(
    model: str, name: str, seeds: tuple[int, ...] = (1,), mode: str = "joint", out: str = "models/finetuned",
    config: FineTuningConfig = CONFIG, few: FewLabelsConfig = ALL_LABELS,
) -> FinetunedModels:  # fmt: skip
    """Fine-tune in the lab as the stage does; the teacher writes soft labels beside, `student` needs them."""
    task, folder = task_of(name), Path(out) / model / name
    learns = model == "student" and config.task_distillation
    soft_labels = SoftLabels(Path("data/task_targets") / name, task, f"finetune_teacher@{name}") if learns else None
    # Only the lab's own teacher: another one that a test makes must not replace what the student learns from.
    written = Path("data/task_targets") / name if model == "teacher" and out == "models/finetuned" else None
    job = FineTuning(model, task, toy.LANGUAGES, mode, list(seeds), config, soft_labels, few)
    fine_tune_task(job, FineTuningPaths(folder, Path(out) / f"{model}-{name}.csv", written, Path("scratch")))
    return FinetunedModels(folder)


@contextmanager
def killed_at(patch: pytest.MonkeyPatch, count: int) -> Iterator[None]:
    """A fine-tuning in this block writes a checkpoint after every step and ends before step `count + 1`."""
    patch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    original, taken = trainer.FineTuningRun.step, []

    def step(run: trainer.FineTuningRun, batch: np.ndarray) -> float:
        if len(taken) == count:
            raise KeyboardInterrupt
        taken.append(len(batch))
        return original(run, batch)

    with patch.context() as inner, pytest.raises(KeyboardInterrupt):
        inner.setattr(trainer.FineTuningRun, "step", step)
        yield
