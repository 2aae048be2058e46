"""Stage teacher: a local snapshot of the model that is distilled."""

from pathlib import Path

from distil.core.files import atomic_folder, read_json, verify_checksums
from distil.core.params import load_languages, load_params, load_seed
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.teacher.source import TeacherConfig, fetch_teacher


def main() -> None:
    """Write models/teacher."""
    cost, config = StageCost(), load_params("teacher", TeacherConfig)
    for folder in {config.path, config.adapt.text} & {"data/raw"}:  # the text that it is trained on or adapted to
        verify_checksums(Path(folder), "corpus")
    synthetic = config.source == "train" and read_json(Path("data/raw/manifest.json"), "corpus")["synthetic"]
    with atomic_folder(Path("models/teacher")) as out:
        manifest = fetch_teacher(config, load_languages(), synthetic, load_seed(), out)
    guard = {"guard": manifest["adapted"]["guard"]} if config.adapt.steps and config.adapt.guard else {}
    cost.write(Path("metrics/cost/teacher.json"), parameters=manifest["parameters"], **guard)


if __name__ == "__main__":
    run_stage(main)
