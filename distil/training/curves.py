"""The curves of a training: sums over the steps of a row, and the two CSV files."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distil.compute.distributed import Processes
from distil.core.files import write_text
from distil.training.objective import Term

# Figures of `heldout.measure` by their names in heldout.csv, where they have others.
HELDOUT_NAMES = {"student_accuracy": "accuracy", "student_nll": "nll"}
HELDOUT_LEFT_OUT = ("positions", "loss", "logit_kd", "masked_lm", "teacher_accuracy")


class TrainingCurves:
    """Rows of the two CSV files, rewritten whole at each look, so that a reader never sees half a row."""

    def __init__(
        self, folder: Path, languages: list[str], terms: tuple[str, ...], live: Callable[[int, dict[str, float]], None]
    ) -> None:
        """`terms` become columns of train.csv; `live` gets (step, figures) of every row as it comes."""
        self.folder, self.languages, self.terms, self._live = folder, languages, terms, live
        self.train: list[dict[str, Any]] = []
        self.heldout: list[dict[str, Any]] = []

    def add_train(self, row: dict[str, Any]) -> None:
        """One row of train.csv."""
        self.train.append(row)
        self._live(row["step"], {f"train/{name}": value for name, value in row.items() if name != "step"})

    def add_heldout(self, step: int, loss: float, by_language: dict[str, Any]) -> None:
        """One row of heldout.csv from `heldout.measure`."""
        row = {"step": step, "loss": round(loss, 6)}
        for language, figures in by_language.items():
            row |= {f"{language}.{HELDOUT_NAMES.get(name, name)}": value
                    for name, value in figures.items() if name not in HELDOUT_LEFT_OUT}  # fmt: skip
        self.heldout.append(row)
        self._live(step, {f"heldout/{name}": value for name, value in row.items() if name != "step"})

    def write(self) -> None:
        """Write both files."""
        columns = [*self.terms, *(f"{language}.{term}" for language in self.languages for term in self.terms)]
        fields = ["step", "epoch", "tokens", "learning_rate", "loss", "grad_norm", "skipped", *columns]
        _write_csv(self.folder / "train.csv", fields, self.train)
        _write_csv(self.folder / "heldout.csv", list(self.heldout[0]), self.heldout)


def _write_csv(path: Path, fields: list[str], rows: list[dict[str, Any]]) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


class RunningMeans:
    """Sums over the steps of one row of train.csv."""

    def __init__(self, languages: list[str], terms: Sequence[str]) -> None:
        self._languages, self._terms = languages, terms
        self._sums: dict[str, list[float]] = {}

    def add(self, loss: float, grad_norm: float, terms: dict[str, Term]) -> None:
        """One step's loss, the norm of its gradient, and its unreduced terms."""
        self._put("loss", loss, 1)
        self._put("grad_norm", grad_norm, 1)
        for name, term in terms.items():
            values, owners = term.values.detach().float().cpu().numpy(), term.languages.cpu().numpy()
            if not len(values):
                continue
            self._put(name, float(values.sum(dtype=np.float64)), len(values))
            sums = np.bincount(owners, weights=values, minlength=len(self._languages))
            counts = np.bincount(owners, minlength=len(self._languages))
            for number in np.flatnonzero(counts):
                self._put(f"{self._languages[number]}.{name}", float(sums[number]), int(counts[number]))

    def _put(self, name: str, total: float, count: int) -> None:
        entry = self._sums.setdefault(name, [0.0, 0])
        entry[0] += total
        entry[1] += count

    def take(self, ranks: Processes) -> dict[str, float]:
        """Means since the last take, over all processes."""
        if ranks.world > 1:
            names = ["loss", "grad_norm", *self._terms]
            names += [f"{language}.{term}" for language in self._languages for term in self._terms]
            flat = ranks.sums([number for name in names for number in self._sums.get(name, (0.0, 0))])
            pairs = zip(names, zip(flat[::2], flat[1::2], strict=True), strict=True)
            self._sums = {name: [total, int(count)] for name, (total, count) in pairs if count}
        means = {name: round(total / count, 6) for name, (total, count) in self._sums.items()}
        self._sums = {}
        return means
