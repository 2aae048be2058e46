"""Train the sample's teacher, distil/sample_teacher, from nothing: `python -m distil.teacher.sample`.

A fresh clone distils without a download and without training a teacher first, so a small one comes with the
repository. Its recipe is `teacher.train:` of params.yaml, on the text that the sample generates; the preset
`sample-from-zero` trains the same one in the pipeline. recipe.json has settings and checksums.
"""

import argparse
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from distil.core.errors import UserError
from distil.core.files import atomic_folder, sha256_file, write_json
from distil.core.params import load_languages, load_params, load_seed, read_params
from distil.corpus.build import CorpusConfig, write_corpus
from distil.runtime.process import run_command
from distil.tasks.build import write_task
from distil.tasks.config import TaskConfig
from distil.teacher.pretraining import RECIPE, PretrainConfig, pretrain

FOLDER = Path("distil/sample_teacher")


def write_text_of_sample(languages: list[str], seed: int, folder: Path) -> list[Path]:
    """The raw text of the sample, without every text of its evaluation sets, one file a language below `folder`.

    Args:
        languages: codes.
        seed: of params.yaml.
        folder: an empty one.
    """
    for name in read_params()["tasks"]:
        write_task(name, load_params(f"tasks.{name}", TaskConfig), languages, seed, folder / "tasks" / name)
    write_corpus(load_params("corpus", CorpusConfig), languages, folder / "tasks", folder / "raw")
    return [folder / "raw" / f"{language}.txt" for language in languages]


def write_sample_teacher(out: Path) -> dict[str, Any]:
    """Train the teacher and write it to `out` in float16, with its recipe; returns that."""
    languages, seed = load_languages(), load_seed()
    corpus = load_params("corpus", CorpusConfig)
    if corpus.source != "sample":
        raise UserError(
            f"params.yaml: corpus.source: expected sample, whose text this teacher is of, found {corpus.source}; "
            "choose the preset `sample`, or train a teacher of your own with teacher.source train"
        )
    config = load_params("teacher.train", PretrainConfig)
    with tempfile.TemporaryDirectory() as made, atomic_folder(out) as folder:
        texts = write_text_of_sample(languages, seed, Path(made))
        pretrain(texts, config, seed, folder)
        weights = folder / "model.safetensors"
        halves = {name: tensor.half() for name, tensor in load_file(weights).items()}
        save_file(halves, weights, metadata={"format": "pt"})
        recipe = {
            "command": "python -m distil.teacher.sample",
            "synthetic": True,
            "languages": languages,
            "seed": seed,
            "train": config.model_dump(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "text_sha256": {text.stem: sha256_file(text) for text in texts},
            "files_sha256": {path.name: sha256_file(path) for path in sorted(folder.iterdir())},
        }
        write_json(folder / RECIPE, recipe)
    return recipe


def main() -> None:
    """Write distil/sample_teacher."""
    argparse.ArgumentParser(prog="python -m distil.teacher.sample", description=__doc__.splitlines()[0]).parse_args()
    write_sample_teacher(FOLDER)


if __name__ == "__main__":
    run_command(main)
