"""What each part of the recipe gives: DVC experiments from benchmarks/ablations.yaml, recorded and shown as a table.

python -m benchmarks.ablations run [NAME ...]   # run the experiments that are missing, one after another
python -m benchmarks.ablations record           # add finished ones to results.json and experiments.bundle
python -m benchmarks.ablations restore          # put the experiments of the bundle into this clone, for `dvc exp show`
python -m benchmarks.ablations table            # write the tables of docs/results/ablations.md from results.json

results.json and experiments.bundle are in benchmarks/recorded.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from benchmarks.pages import RECORDED, RESULTS, fill_page
from distil.core.errors import UserError
from distil.core.files import write_json, write_text
from distil.runtime.process import run_command

SPEC, PAGE = Path("benchmarks/ablations.yaml"), RESULTS / "ablations.md"
RECORDS, BUNDLE = RECORDED / "results.json", RECORDED / "experiments.bundle"
# What only measures speed is cut short: ablations compare scores.
BRIEF = ("footprint.rounds=1", "export.speed_rows=10", "export.repetitions=1")


def git(*words: str) -> str:
    """What a git command prints.

    Raises:
        UserError: git refuses; says why.
    """
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git {' '.join(words)}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def recorded_experiments() -> dict[str, str]:
    """Name -> git reference of every DVC experiment of this clone; of several with one name the newest."""
    refs = git("for-each-ref", "refs/exps", "--sort=creatordate", "--format=%(refname)").splitlines()
    return {ref.rpartition("/")[2]: ref for ref in refs if ref.count("/") >= 4}


def read_spec(path: Path = SPEC) -> dict[str, dict[str, Any]]:
    """Name -> {"what": a sentence, "set": ["key=value", ...]}, and "repeats": the name of which it is another seed."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run_experiments(spec: dict[str, dict[str, Any]], names: list[str]) -> None:
    """Run the named experiments, or all, that this clone does not have; params.yaml is put back after each.

    Raises:
        UserError: a name is not in the spec, or an experiment failed.
    """
    if unknown := [name for name in names if name not in spec]:
        raise UserError(f"{SPEC}: no ablation named {', '.join(unknown)}; expected some of {', '.join(spec)}")
    params = Path("params.yaml")
    before = params.read_text(encoding="utf-8")
    for name in names or spec:
        if name in recorded_experiments():
            continue
        settings = [word for setting in (*BRIEF, *spec[name]["set"]) for word in ("-S", setting)]
        try:
            done = subprocess.run(["dvc", "exp", "run", "-n", name, *settings], check=False)
        finally:
            write_text(params, before)
        if done.returncode:
            raise UserError(f"ablation {name}: `dvc exp run` ended with {done.returncode}; mend it and run again")


def record(spec: dict[str, dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results of every experiment of the spec, in its order: from this clone, or else as they were recorded before.

    Several clones may share the work: what another one ran and recorded stays.
    """
    experiments, records = recorded_experiments(), []
    recorded = {entry["name"]: entry for entry in before}
    for name, entry in spec.items():
        if name in recorded and name not in experiments:
            records.append(recorded[name])
        elif reference := experiments.get(name):
            about: dict[str, Any] = {key: entry[key] for key in ("what", "repeats", "set") if key in entry}
            records.append({"name": name, **about, **_results(reference)})
    return records


def write_bundle(spec: dict[str, dict[str, Any]], bundle: Path) -> None:
    """The experiments of the spec that this clone has, as git objects: parameters, dvc.lock and metrics, no weights.

    DVC files an experiment under a reference of its own, which no clone brings along; a file does.
    """
    experiments = recorded_experiments()
    refs = [experiments[name] for name in spec if name in experiments]
    if refs:
        git("bundle", "create", "--quiet", str(bundle), *refs, "--not", "HEAD")


def restore(bundle: Path) -> list[str]:
    """Experiments of a bundle become this clone's, but for those that it has; returns their names.

    Raises:
        UserError: no such file, or this clone lacks the commits on which they stand.
    """
    there = [line.split()[1] for line in git("bundle", "list-heads", str(bundle)).splitlines()]
    missing = set(there) - set(git("for-each-ref", "refs/exps", "--format=%(refname)").splitlines())
    if missing:
        git("fetch", "--quiet", "--no-tags", str(bundle), *(f"{ref}:{ref}" for ref in sorted(missing)))
    return sorted(ref.rpartition("/")[2] for ref in missing)


def _results(revision: str) -> dict[str, Any]:
    """Date, code, the headline figures and every score of an experiment."""
    files = git("ls-tree", "-r", "--name-only", revision, "metrics/evaluate").splitlines()
    headline = json.loads(git("show", f"{revision}:metrics/headline.json"))
    scores: dict[str, Any] = {}
    for file in files:
        found = json.loads(git("show", f"{revision}:{file}"))
        scores.setdefault(found["task"], {})[found["model"]] = {
            "mean": found["mean"][found["metric"]],
            "languages": {code: figures[found["metric"]] for code, figures in found["languages"].items()},
            "seeds": [seed["seed"] for seed in next(iter(found["languages"].values()))["seeds"]],
        }
    return {
        "date": git("show", "-s", "--format=%as", revision).strip(),
        "commit": git("rev-parse", "--short", f"{revision}~1").strip(),
        "million_parameters": headline["size"]["million_parameters"],
        "heldout_kl": headline["heldout"]["kl"],
        "scores": scores,
    }


def table(records: list[dict[str, Any]]) -> str:
    """One Markdown table a task: first the models to compare with, then the student of each experiment; in points."""
    parts = []
    for task in sorted({task for entry in records for task in entry["scores"]}):
        rows = [entry for entry in records if "student" in entry["scores"].get(task, {})]
        first = rows[0]
        languages = list(first["scores"][task]["student"]["languages"])
        head = ["run", "what", "parameters", "held-out KL", *languages, "mean", "plain fine-tuning", "seeds", "commit"]
        lines = [f"**{task}**", "", _line(head), _line(["---"] * len(head))]
        for model, scores in first["scores"][task].items():
            if not model.startswith("student"):
                points = _points(scores, languages)
                lines.append(
                    _line([model, "for comparison", "", "", *points, "", str(len(scores["seeds"])), first["commit"]])
                )
        lines += [_line(_cells(entry, entry["scores"][task], languages)) for entry in rows]
        lines += [_line(_spread(entry, rows, task, languages)) for entry in rows
                  if any(other.get("repeats") == entry["name"] for other in rows)]  # fmt: skip
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cells(entry: dict[str, Any], scores: dict[str, Any], languages: list[str]) -> list[str]:
    plain = scores.get("student_plain")
    return [
        f"`{entry['name']}`", entry["what"], f"{entry['million_parameters']:.1f}M", f"{entry['heldout_kl']:.3f}",
        *_points(scores["student"], languages),
        f"{100 * plain['mean']:.1f}" if plain else "",
        str(len(scores["student"]["seeds"])), entry["commit"],
    ]  # fmt: skip


def _spread(entry: dict[str, Any], rows: list[dict[str, Any]], task: str, languages: list[str]) -> list[str]:
    """Means over an experiment and its other seeds, each with its lowest and highest."""
    runs = [other for other in rows if entry["name"] in (other["name"], other.get("repeats"))]

    def over(values: list[float], scale: float, digits: int) -> str:
        mean, low, high = (f"{scale * value:.{digits}f}" for value in (fmean(values), min(values), max(values)))
        return f"{mean} ({low} to {high})"

    def points(model: str) -> list[str]:
        each = [run["scores"][task][model] for run in runs]
        columns = [[scores["languages"][language] for scores in each] for language in languages]
        return [over(values, 100, 1) for values in (*columns, [scores["mean"] for scores in each])]

    plain = points("student_plain")[-1] if "student_plain" in entry["scores"][task] else ""
    return [
        f"`{entry['name']}`", f"mean of {len(runs)} distillations (lowest to highest)",
        f"{entry['million_parameters']:.1f}M", over([run["heldout_kl"] for run in runs], 1, 3), *points("student"),
        plain, str(len(entry["scores"][task]["student"]["seeds"])), "",
    ]  # fmt: skip


def _points(scores: dict[str, Any], languages: list[str]) -> list[str]:
    """The score of each language and their mean."""
    return [*(f"{100 * scores['languages'][language]:.1f}" for language in languages), f"{100 * scores['mean']:.1f}"]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Parse the command line and act."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description="Ablations of the recipe.")
    parser.add_argument("action", choices=("run", "record", "restore", "table"))
    parser.add_argument("names", nargs="*", help="with `run`: only these")
    options = parser.parse_args()
    if options.action == "run":
        run_experiments(read_spec(), options.names)
    elif options.action == "record":
        if BUNDLE.is_file():
            restore(BUNDLE)
        before = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.is_file() else []
        write_json(RECORDS, record(read_spec(), before))
        write_bundle(read_spec(), BUNDLE)
    elif options.action == "restore":
        sys.stdout.write(f"{BUNDLE}: {', '.join(restore(BUNDLE)) or 'nothing that is not there'}\n")
    else:
        records = json.loads(RECORDS.read_text(encoding="utf-8"))
        fill_page("ablations", "python -m benchmarks.ablations table", table(records), PAGE)
        sys.stdout.write(f"{PAGE}: {len(records)} runs\n")


if __name__ == "__main__":
    run_command(main)
