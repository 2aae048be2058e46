"""Stage corpus: text from the source -> cleaned text, language by language."""

from pathlib import Path

from distil.core.params import load_languages, load_params
from distil.corpus.build import CorpusConfig, write_corpus
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage


def main() -> None:
    """Write data/raw."""
    cost = StageCost()
    config, languages = load_params("corpus", CorpusConfig), load_languages()
    manifest = write_corpus(config, languages, Path("data/tasks"), Path("data/raw"))
    totals = {
        key: sum(entry[key] for entry in manifest["languages"].values()) for key in ("lines_read", "lines", "bytes")
    }
    cost.write(Path("metrics/cost/corpus.json"), **totals)


if __name__ == "__main__":
    run_stage(main)
