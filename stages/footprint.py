"""Stage footprint: size and speed of teacher and student -> metrics/footprint.json."""

from pathlib import Path

from distil.core.files import verify_checksums, write_json
from distil.core.params import load_languages, load_params
from distil.evaluation.footprint import FootprintConfig, measure
from distil.runtime.cost import StageCost
from distil.runtime.machine import machine
from distil.runtime.process import run_stage


def main() -> None:
    """Measure models/teacher and models/student in turn on text of data/raw."""
    cost, config = StageCost(), load_params("footprint", FootprintConfig)
    verify_checksums(Path("data/raw"), "corpus")
    files = {code: Path(f"data/raw/{code}.txt") for code in load_languages()}
    found = measure({name: Path("models") / name for name in ("teacher", "student")}, files, config)
    write_json(Path("metrics/footprint.json"), {"machine": machine(), **found})
    cost.write(Path("metrics/cost/footprint.json"))


if __name__ == "__main__":
    run_stage(main)
