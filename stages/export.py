"""Stage export: the student's fine-tuned models -> ONNX in float32 and in 8 bits, measured."""

from pathlib import Path

from distil.core.files import atomic_folder, verify_checksums, write_json
from distil.core.params import load_languages, load_params
from distil.evaluation.config import load_evaluate
from distil.runtime.cost import StageCost
from distil.runtime.process import run_stage
from distil.serving.onnx_export import ExportConfig, export, find_sources
from distil.serving.parity import compare_exported, cost, summary
from distil.tasks.data import read_task


def main() -> None:
    """Write models/onnx and metrics/export.json."""
    spent = StageCost()
    config, languages = load_params("export", ExportConfig), load_languages()
    scoring = load_evaluate()
    names = scoring.tasks
    tasks = {name: read_task(Path("data/tasks") / name) for name in names}
    verify_checksums(Path("models/student"), "distil")
    verify_checksums(Path("models/teacher"), "teacher")
    sources = find_sources(
        Path("models/finetuned/student"),
        Path("models/student"),
        names,
        scoring.merge.tasks,
        languages,
        config.masked_lm,
    )
    models = {}
    with atomic_folder(Path("models/onnx")) as out:
        for source in sources:
            export(source, config, out / source.name)
            models[source.name] = compare_exported(source, out / source.name, tasks[source.task or names[0]], config)
        first = [source for source in sources if source.task == names[0]]
        costs = cost(first[0], out / first[0].name, tasks[names[0]], Path("models/teacher"), config)
    write_json(Path("metrics/export.json"), summary(models, [source.name for source in first], costs))
    spent.write(Path("metrics/cost/export.json"))


if __name__ == "__main__":
    run_stage(main)
