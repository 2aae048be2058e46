"""A process that has imported everything once and forks a real process for each stage it is asked for.

Orders are JSON lines on stdin, answers JSON lines on stdout. {"stage", "arguments", "cwd", "log"} forks a process that
runs the stage there, both its output streams in the file `log`, and answers {"pid"}; {"wait": pid} answers {"status"},
the exit status, or minus the signal that ended it.
"""

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

sys.modules["mlflow"] = None  # type: ignore[assignment]  # importing it fails: a warning, and no seconds for a store

STAGES = ("tasks", "corpus", "teacher", "vocabulary", "tokenize", "cache_teacher", "distil", "no_teacher", "baselines",
          "finetune", "evaluate", "footprint", "export", "report")  # fmt: skip


def work(order: dict[str, Any]) -> NoReturn:
    """The forked process: what `python -m stages.STAGE` does."""
    status: Any = 99
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job was told to ignore it
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # they wait until the stage is at work, which a short one is late
    try:
        out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, file in ((0, nothing), (1, out), (2, out)):
            os.dup2(file, number)
        os.chdir(order["cwd"])
        os.environ.update(order.get("env", {}), DVC_STAGE=order["name"])
        from distil.runtime.process import run_command

        stage = importlib.import_module(f"stages.{order['stage']}").main

        def begin() -> None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
            stage(*order["arguments"])

        run_command(begin)
    except SystemExit as end:
        status = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0)


def main() -> None:
    """Serve until stdin ends."""
    import torch

    torch.set_num_threads(1)  # a forked process could not use threads that were started before
    for stage in STAGES:
        importlib.import_module(f"stages.{stage}")
    importlib.import_module("transformers.models.xlm_roberta.modeling_xlm_roberta")
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                work(order)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
