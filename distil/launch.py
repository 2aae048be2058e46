"""Start a stage as several processes when params.yaml asks for it, and end them together."""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import Field

from distil.errors import UserError
from distil.params import Params, load_params
from distil.runner import MESSAGE_FILE, run

MONITOR_SECONDS = 0.5


class LaunchConfig(Params):
    """Section `launch:` of params.yaml. No stage's result depends on it, so it is no param of any stage."""

    processes: int = Field(ge=1, le=256)


def run_ranks(main: Callable[[], None], module: str) -> NoReturn:
    """As `runner.run`, by `launch.processes` processes.

    Args:
        main: the stage's work, in each process.
        module: what `python -m` starts, such as stages.distil.
    """
    if "RANK" in os.environ:  # a launcher's child
        run(lambda: _take_part(main))
    run(lambda: _start(main, module))


def _take_part(main: Callable[[], None]) -> None:
    from distil.ranks import leave  # it imports torch, which the process that only starts others needs not wait for

    main()
    leave()  # not after a fault: the others may be waiting where this process no longer comes


def _start(main: Callable[[], None], module: str) -> None:
    processes = load_params("launch", LaunchConfig).processes
    if processes == 1:
        main()
    else:
        launch(processes, module)


def launch(processes: int, module: str) -> None:
    """Run `python -m module` as `processes` processes on this machine; the first that fails ends all.

    Raises:
        UserError: one failed; says which and why.
        KeyboardInterrupt: this process was asked to end; the others are ended too.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig as Elastic
    from torch.distributed.launcher.api import elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # said below, in one sentence
    with tempfile.TemporaryDirectory() as folder:
        message = Path(folder) / "message.json"
        os.environ[MESSAGE_FILE] = str(message)
        config = Elastic(
            min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id="distil", rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0", max_restarts=0, monitor_interval=MONITOR_SECONDS,
        )  # fmt: skip
        try:
            elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
        except ChildFailedError as error:
            raise UserError(_explain(error, module, message)) from None
        except SignalException:
            raise KeyboardInterrupt from None


def _explain(error: Any, module: str, message: Path) -> str:
    """What the first process that failed said of itself, or how it ended."""
    if message.is_file():
        return json.loads(message.read_text(encoding="utf-8"))
    rank, failure = error.get_first_failure()
    how = f"was killed by signal {-failure.exitcode}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
    return (
        f"{module}: process {rank} (pid {failure.pid}) {how}, and the others were ended; its own output is above; "
        f"`dvc repro {module.rpartition('.')[2]}` continues from the last finished piece"
    )
