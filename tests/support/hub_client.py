"""A process of its own, where the hub's clients find the stand-in: one call a line."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.standin_hub import StandinHub

ROOT = Path(__file__).parents[2]


class Client:
    """A process with the real clients in it."""

    def __init__(self, hub: StandinHub, home: Path, **settings: str) -> None:
        left_out = ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_DATASETS_OFFLINE")
        env = {name: value for name, value in os.environ.items() if name not in left_out}
        env |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(home)}
        env |= {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DISABLE_XET": "1"}
        env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"} | settings
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.hub_client"], cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __call__(self, *call: Any) -> Any:
        """What the call gave; a str that begins with the error's type if it raised."""
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["found"] if "found" in answer else answer["error"]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(120)


def main() -> None:
    """Reads [function, argument, ...] and prints {"found": ...} or {"error": ...}, a line each."""
    import huggingface_hub.utils._http as transport

    import distil.sources.hub

    distil.sources.hub.FIRST_WAIT_SECONDS = 0.01
    wait = time.sleep
    transport.time = type("Hasty", (), {"sleep": lambda seconds: wait(min(seconds, 0.02)), "time": time.time})  # type: ignore
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"found": globals()[name](*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)  # noqa: T201


def commit(dataset: str, revision: str) -> str:
    from distil.sources.hub import hub_commit

    return hub_commit(dataset, revision)


def texts(dataset: str, config: str, revision: str, column: str = "text", blocks: int = 10**9) -> list[str]:
    from distil.sources import blocks as sources
    from distil.sources.hub import hub_blocks

    sources.BLOCK_BYTES = 1000
    found = b""
    for number, block in enumerate(hub_blocks(dataset, config, "train", revision, column, Counter()), 1):
        found += block
        if number == blocks:
            break
    return found.decode().split("\n")[:-1]


def snapshot(name: str, revision: str) -> list[Any]:
    from distil.sources.hub import hub_snapshot

    folder = hub_snapshot(name, revision, ["*.json", "*.safetensors"])
    return [folder.name, {path.name: path.stat().st_size for path in sorted(folder.iterdir())}]


def teacher(name: str, revision: str, out: str) -> Any:
    """models/teacher in the new folder `out`; its manifest and what was logged."""
    import logging

    import yaml

    from distil.teacher.source import TeacherConfig, fetch_teacher

    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("distil").addHandler(handler)
    logging.getLogger("distil").setLevel(logging.INFO)
    section = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["teacher"]
    config = TeacherConfig.model_validate({**section, "source": "hub", "id": name, "revision": revision})
    Path(out).mkdir()
    try:
        return [fetch_teacher(config, ["swa"], False, 1, Path(out)), lines]
    finally:
        logging.getLogger("distil").removeHandler(handler)


def decoder(name: str) -> Any:
    """The checksum of a decoder of the hub, and the names of the files that came."""
    from distil.decoders import loading
    from tests.support.decoders import config

    folders = []

    def fetch(*given: Any) -> Path:
        folders.append(original(*given))
        return folders[0]

    original, loading.fetch_model = loading.fetch_model, fetch
    try:
        found = loading.open_decoder("tiny", config(source="hub", id=name))
        return [found.sha256, sorted(path.name for path in folders[0].iterdir())]
    finally:
        loading.fetch_model = original


if __name__ == "__main__":
    main()
