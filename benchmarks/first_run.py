"""What a newcomer waits for: `dvc repro` of the committed parameters in a fresh clone, with the seconds of each stage.

    python -m benchmarks.first_run [--quick]

The checkout's HEAD is cloned into a temporary folder, so uncommitted changes play no part. Nothing of an earlier run is
there; the environment is this one's. `stages`: wall seconds from DVC's announcement of a stage to that of the next one.
`processes`: of the stage's process alone the wall and processor seconds, and those of importing the stage, measured
again afterwards; `dvc_seconds`: what is left, DVC's own. `work`: the seconds that a stage counts itself. The clone is
removed at the end. With --quick or --smallest only the stages up to the corpus run. The last line is one JSON object.
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.machine import finish, machine, plain_parser

RUNNING = re.compile(r"^Running stage '([^']+)':")
# In place of `python` on PATH: runs the one behind it and writes down what the process took.
MEASURED = """#!{python} -SsE
import json, os, sys, time
start = time.perf_counter()
child = os.spawnv(os.P_NOWAIT, {python!r}, [{python!r}, *sys.argv[1:]])
_, status, used = os.wait4(child, 0)
took = {{"seconds": round(time.perf_counter() - start, 1), "cpu_seconds": round(used.ru_utime + used.ru_stime, 1)}}
with open({log!r}, "a") as stream:
    stream.write(json.dumps({{"stage": os.environ["DVC_STAGE"], "module": sys.argv[2], **took}}) + "\\n")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def main() -> None:
    """Print one JSON object."""
    options = plain_parser(__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", Path.cwd(), clone], check=True)
        targets = ["corpus"] if options.quick or options.smallest else []
        program, log = Path(folder) / "bin/python", Path(folder) / "processes.jsonl"
        program.parent.mkdir()
        program.write_text(MEASURED.format(python=sys.executable, log=str(log)), encoding="utf-8")
        program.chmod(0o755)
        began = time.perf_counter()
        stages = stage_seconds(
            _lines([sys.executable, "-m", "dvc", "repro", *targets], clone, options.threads, program.parent)
        )
        seconds = time.perf_counter() - began
        work = work_seconds(clone / "metrics/cost")
        processes = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        imports = {module: import_seconds(module, clone) for module in {each["module"] for each in processes}}
    finish({
        "seconds": round(seconds, 1), "stages": {name: round(value, 1) for name, value in stages.items()},
        "processes": {each["stage"]: {"seconds": each["seconds"], "cpu_seconds": each["cpu_seconds"],
                                      "import_cpu_seconds": imports[each["module"]]} for each in processes},
        "dvc_seconds": round(seconds - sum(each["seconds"] for each in processes), 1),
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


def import_seconds(module: str, folder: Path) -> float:
    """Processor seconds of a process that imports a stage as the stage does, and ends."""
    code = (f"from distil.runtime.lean_process import start_lean, begin_work, end_with; start_lean(); import {module}; "
            "begin_work(); end_with(0)")  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)


def _lines(command: list[str], folder: Path, threads: int, programs: Path) -> Iterable[str]:
    """The output of a command that has to end well, as it comes; `programs` is first on PATH."""
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
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
