"""Stage vocabulary: the pieces of the teacher's tokenizer that the languages use -> the student's tokenizer."""

from pathlib import Path

from distil.core.files import verify_checksums
from distil.core.params import load_languages, load_params, load_trunk
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tokenization.vocabulary import VocabularyConfig, build_vocabulary


def main() -> None:
    """Write models/tokenizer."""
    cost = StageCost()
    config, languages = load_params("vocabulary", VocabularyConfig), load_languages()
    verify_checksums(Path("data/raw"), "corpus")
    texts = {language: Path("data/raw") / f"{language}.txt" for language in languages}
    manifest = build_vocabulary(texts, Path("models/teacher"), config, Path("models/tokenizer"), load_trunk())
    cost.write(Path("metrics/cost/vocabulary.json"), pieces=manifest["pieces"])


if __name__ == "__main__":
    run_stage(main)
