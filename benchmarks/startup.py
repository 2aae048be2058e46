"""How long each stage takes before it works, which of them load torch, and how long `dvc repro` takes to find nothing.

    python -m benchmarks.startup [--quick]

Run in a checkout whose pipeline has run. `import_seconds`: a new process that imports `stages.STAGE`; `report_seconds`:
the whole stage `report`, run only where the pipeline is up to date, as it then writes the bytes that are there already.
Five repetitions (three with --quick) in turn, medians, bytecode compiled. The last line is one JSON object.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import by_size, finish, machine, plain_parser

HEAVY = ("torch", "transformers", "sklearn", "mlflow")


def main() -> None:
    """Print one JSON object."""
    options = plain_parser(__doc__.splitlines()[0]).parse_args()
    stages = sorted(path.stem for path in Path("stages").glob("*.py"))
    loads = {stage: heavy(stage) for stage in stages}  # compiles, too
    seconds: dict[str, list[float]] = {stage: [] for stage in stages}
    current = up_to_date()
    whole: dict[str, list[float]] = {"report": [], "repro": []}
    for _ in range(by_size(options, 1, 3, 5)):
        for stage in stages:
            seconds[stage].append(timed([sys.executable, "-c", f"import stages.{stage}"]))
        if current:
            whole["report"].append(timed([sys.executable, "-m", "stages.report"]))
            whole["repro"].append(timed([sys.executable, "-m", "dvc", "repro", "--quiet"]))
    finish({
        "report_seconds": round(median(whole["report"]), 2) if current else None,
        "repro_with_nothing_to_do_seconds": round(median(whole["repro"]), 2) if current else None,
        "import_seconds": {stage: round(median(found), 2) for stage, found in seconds.items()},
        "loads": loads,
        "machine": machine(1),
    })  # fmt: skip


def heavy(stage: str) -> list[str]:
    """Which of the large packages importing a stage loads."""
    code = f"import sys, stages.{stage}; print(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def up_to_date() -> bool:
    """Whether the pipeline here has nothing to do."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--quiet"], check=False, capture_output=True
    )  # exit status 0: nothing changed
    return done.returncode == 0


def timed(command: list[str]) -> float:
    """Wall seconds of a process that has to end well."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
