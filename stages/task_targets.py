"""Stage task_targets@TASK: what the fine-tuned teacher says of a task's text. `python -m stages.task_targets TASK`."""

from pathlib import Path

from distil.core.params import load_languages
from distil.finetuning.saved_models import FinetunedModels
from distil.finetuning.teach import teach
from distil.runtime.process import Cost, arguments, run
from distil.tasks.data import read_task


def main() -> None:
    """Write data/task_targets/TASK."""
    cost, (name,) = Cost(), arguments("TASK")
    languages, task = load_languages(), read_task(Path("data/tasks") / name)
    figures = teach(FinetunedModels(Path("models/finetuned/teacher") / name), task, languages,
                    Path("data/task_targets") / name)  # fmt: skip
    cost.write(Path(f"metrics/cost/task_targets-{name}.json"), **figures)


if __name__ == "__main__":
    run(main)
