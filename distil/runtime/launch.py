"""Start a stage as several processes when params.yaml asks for it, and end them together."""

import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import Field

from distil.core.errors import UserError
from distil.core.params import Params, load_params
from distil.core.pipeline import MEETING_FILE, MESSAGE_FILE
from distil.runtime.process import log_stage_end, positional_arguments, run_command

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
MONITOR_SECONDS = 0.5


class LaunchConfig(Params):
    """Section `launch:` of params.yaml. No stage's result depends on it, so it is no param of any stage."""

    processes: int = Field(ge=1, le=256)


def run_ranks(main: Callable[..., None], module: str, *names: str) -> NoReturn:
    """As `process.run_stage`, by `launch.processes` processes.

    Args:
        main: the stage's work, in each process.
        module: what `python -m` starts, such as stages.distil.
        names: the stage's arguments, as of `process.run_stage`.
    """
    if "RANK" in os.environ:  # a launcher's child
        run_command(lambda: _take_part(lambda: main(*positional_arguments(main, names))))

    def work() -> None:
        given = positional_arguments(main, names)
        _start(lambda: main(*given), module)
        log_stage_end()

    run_command(work)


def _take_part(main: Callable[[], None]) -> None:

    if MEETING_FILE in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    from distil.compute.distributed import shut_down  # it imports torch, which the launching process need not wait for

    main()
    shut_down()  # not after a fault: the others may be waiting where this process no longer comes


def _end_with(parent: int) -> None:
    """Else this process would work on beside the one that continues, if the one that started it was killed."""
    while os.getppid() == parent:
        time.sleep(MONITOR_SECONDS)
    os._exit(1)


def _start(main: Callable[[], None], module: str) -> None:
    processes = load_params("launch", LaunchConfig).processes
    if processes == 1:
        main()
    else:
        launch(processes, module)


def launch(processes: int, module: str) -> None:
    """Run `python -m module` as `processes` processes on this machine; the first that fails ends all.

    They meet by a file, not by a server, and talk over the loopback interface alone: nothing listens to other machines.

    Raises:
        UserError: one failed; says which and why.
        KeyboardInterrupt: this process was asked to end; the others are ended too.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, start_processes
    from torch.distributed.elastic.multiprocessing.api import SignalException

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # said below, in one sentence
    with tempfile.TemporaryDirectory() as folder:
        message = Path(folder) / "message.json"
        os.environ |= {MESSAGE_FILE: str(message), MEETING_FILE: str(Path(folder) / "meeting")}
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", LOOPBACK)
        ranks = range(processes)
        group = start_processes(
            "distil", sys.executable, dict.fromkeys(ranks, ("-m", module, *sys.argv[1:])),
            {rank: {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)} for rank in ranks},
            DefaultLogsSpecs(),
        )  # fmt: skip
        try:
            result = group.wait(period=MONITOR_SECONDS)
        except (KeyboardInterrupt, SignalException):
            raise KeyboardInterrupt from None
        finally:
            group.close()
        if result is not None and result.is_failed():
            raise UserError(_explain(min(result.failures.values(), key=lambda each: each.timestamp), module, message))


def _explain(failure: Any, module: str, message: Path) -> str:
    """What the first process that failed said of itself, or how it ended."""
    if message.is_file():
        return json.loads(message.read_text(encoding="utf-8"))
    how = f"was killed by signal {-failure.exitcode}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
    return (
        f"{module}: process {failure.local_rank} (pid {failure.pid}) {how}, and the others were ended; its own output "
        f"is above; `dvc repro {module.rpartition('.')[2]}` continues from the last finished piece"
    )
