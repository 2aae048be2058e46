"""Run by tests/test_hub.py in a process of its own, where the hub's clients find the stand-in: one call a line."""

import json
import sys
import time
from collections import Counter
from typing import Any


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


if __name__ == "__main__":
    main()
