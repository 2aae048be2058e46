"""Stage tokenize: cleaned text -> token ids and masks, language by language."""

from pathlib import Path

from distil.core.files import atomic_folder, read_json, verify_checksums
from distil.core.params import load_languages, load_params, load_seed
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.tokenization.prepare import TokenizeConfig, prepare_language


def main() -> None:
    """Write data/prepared."""
    cost = StageCost()
    config, languages, seed = load_params("tokenize", TokenizeConfig), load_languages(), load_seed()
    tokens = 0
    verify_checksums(Path("data/raw"), "corpus")
    script = read_json(Path("data/raw/manifest.json"), "corpus").get("script", "keep")
    with atomic_folder(Path("data/prepared")) as out:
        for language in languages:
            text = Path("data/raw") / f"{language}.txt"
            manifest = prepare_language(language, text, Path("models/tokenizer"), config, seed, out / language, script)
            tokens += sum(split["tokens"] for split in manifest["splits"].values())
    cost.write(Path("metrics/cost/tokenize.json"), tokens=tokens)


if __name__ == "__main__":
    run_stage(main)
