"""What a newcomer waits for: `dvc repro` of the committed parameters in a fresh clone, with the seconds of each stage.

    python -m benchmarks.first_run [--quick]

The checkout's HEAD is cloned into a temporary folder, so uncommitted changes play no part. Nothing of an earlier run is
there; the environment is this one's. `stages`: wall seconds from DVC's announcement of a stage to that of the next one,
so with the start of the process and DVC's own work. `work`: the seconds that a stage counts itself. The clone is
removed at the end. With --quick or --smallest only the stages up to the corpus run. The last line is one JSON object.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import finish, machine, plain_parser

RUNNING = re.compile(r"^Running stage '([^']+)':")


def main() -> None:
    """Print one JSON object."""
    options = plain_parser(__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", Path.cwd(), clone], check=True)
        targets = ["corpus"] if options.quick or options.smallest else []
        began = time.perf_counter()
        stages = stage_seconds(_lines([sys.executable, "-m", "dvc", "repro", *targets], clone, options.threads))
        seconds = time.perf_counter() - began
        work = work_seconds(clone / "metrics/cost")
    finish({
        "seconds": round(seconds, 1), "stages": {name: round(value, 1) for name, value in stages.items()},
        "work_seconds": round(sum(work.values()), 1), "work": work, "machine": machine(options.threads),
    })  # fmt: skip


def stage_seconds(lines: Iterable[str]) -> dict[str, float]:
    """Seconds from the announcement of each stage to that of the next, or to the end; `start` is before the first."""
    found, name, since = dict[str, float](), "start", time.perf_counter()
    for line in lines:
        if announced := RUNNING.match(line):
            now = time.perf_counter()
            found[name], name, since = now - since, announced[1], now
            print(f"{name} ...", file=sys.stderr)
    found[name] = time.perf_counter() - since
    return found


def work_seconds(folder: Path) -> dict[str, Any]:
    """What the stages counted themselves, by the name of their file in metrics/cost."""
    costs = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {name: cost["seconds"] for name, cost in costs.items() if "seconds" in cost}


def _lines(command: list[str], folder: Path, threads: int) -> Iterable[str]:
    """The output of a command that has to end well, as it comes."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # stages run the `python` on it
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1", "PATH": path}
    with subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        said = []
        for line in process.stdout or ():
            said.append(line)
            yield line
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}\n{''.join(said[-20:])}")


if __name__ == "__main__":
    main()
