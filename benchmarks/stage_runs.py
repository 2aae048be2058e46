"""Stages run one after another in a project of their own, as `dvc repro` would."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
POLL_SECONDS = 0.02
Run = tuple[str, list[str]]  # the stage and its arguments


def stages(tasks: Sequence[str]) -> list[Run]:
    """Every stage that is never switched off, in order; no control, rival, decoder or encoder is among them."""
    before = ["corpus", "teacher", "vocabulary", "tokenize", "cache_teacher", "distil", "no_teacher"]
    by_task = [
        ("baselines", []), ("finetune", ["teacher"]), ("mix_teachers", []), ("finetune", ["student"]),
        ("finetune", ["student_plain"]), ("finetune", ["no_teacher"]),
    ]  # fmt: skip
    after = ["evaluate", "footprint", "export", "report"]
    return [
        *(("tasks", [task]) for task in tasks),
        *((stage, []) for stage in before),
        *((stage, [*arguments, task]) for stage, arguments in by_task for task in tasks),
        *((stage, []) for stage in after),
    ]


def name_of(stage: str, arguments: Sequence[str]) -> str:
    """What metrics/cost calls it."""
    *model, task = arguments or [""]
    return "-".join(filter(None, ("_".join([stage, *model]), task)))


def link_code(project: Path) -> None:
    """What stages read of the repository, apart from params.yaml."""
    for name in ("distil", "stages", "dvc.yaml"):
        if not (project / name).is_symlink():
            (project / name).symlink_to(ROOT / name)


def command(project: Path, words: Sequence[str], threads: int, **environment: str) -> int:
    """`python -m WORDS` in a process of its own in the project; its messages are shown when it fails.

    Returns:
        The peak of its resident memory, bytes; that of processes which it starts is not in it.
    """
    settings = os.environ | {"OMP_NUM_THREADS": str(threads), "DVC_ROOT": str(project)} | environment
    peak = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=project, env=settings, stdout=said, stderr=said)
        while process.poll() is None:
            peak = max(peak, _peak_of(process.pid))
            time.sleep(POLL_SECONDS)
        if process.returncode:
            said.seek(0)
            sys.exit(f"error: {words[0]}: exit status {process.returncode}\n{said.read()[-2000:]}")
    return peak


def _peak_of(process: int) -> int:
    """Bytes; getrusage would give those of the process that started it where these are more."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:")), 0)
