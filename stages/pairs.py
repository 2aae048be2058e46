"""Stage pairs@NAME: parallel text -> clean pairs of sentences for the block NAME of `embeddings:`."""

import logging
from pathlib import Path

from distil.core.params import load_seed
from distil.embedding.config import load_embedding
from distil.embedding.pairs import write_pairs
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage


def main(name: str) -> None:
    """Write data/pairs/NAME."""
    cost = StageCost()
    config, languages = load_embedding(name)
    manifest = write_pairs(name, config.pairs, languages, load_seed(), Path("data/pairs") / name)
    for code, entry in manifest["languages"].items():
        logging.getLogger("distil").info("pairs: %s: %s of %s", code, f"{entry['pairs']:,}", f"{entry['read']:,}")
    cost.write(Path(f"metrics/cost/pairs-{name}.json"), rows=sum(e["read"] for e in manifest["languages"].values()))


if __name__ == "__main__":
    run_stage(main, "NAME")
