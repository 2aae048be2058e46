"""Stage evaluate_embedding@NAME: whether a sentence finds its translation, for each model and pair of languages."""

import logging
from pathlib import Path

from distil.core.files import verify_checksums, write_json
from distil.embedding.config import check_library, load_embedding
from distil.embedding.data import read_pairs
from distil.embedding.evaluation import Folders, as_table, evaluate_encoder
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage


def main(name: str) -> None:
    """Write metrics/embedding/NAME.json and log the table."""
    cost = StageCost()
    config, languages = load_embedding(name)
    check_library()
    folders = Folders(Path(config.teacher), Path("models/student"), Path("models/embedding") / name)
    verify_checksums(folders.encoder, f"embed@{name}")
    scores = evaluate_encoder(read_pairs(Path("data/pairs") / name, name, languages), folders, config)
    write_json(Path(f"metrics/embedding/{name}.json"), scores)
    logging.getLogger("distil").info("embeddings: accuracy at 1, %%\n%s", as_table(scores))
    cost.write(Path(f"metrics/cost/evaluate_embedding-{name}.json"))


if __name__ == "__main__":
    run_stage(main, "NAME")
