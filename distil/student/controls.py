"""The controls of a run: models that show what the distillation over text gives, made without the teacher's outputs.

`start`: the student's first weights and no training. `masked_lm`: from there the student's text, masks, batches, epochs
and optimiser, but masked-LM cross-entropy against the true pieces in place of the teacher.
"""

from typing import Any

from distil.compute.distributed import SINGLE_PROCESS, Processes, process_device
from distil.core.errors import UserError
from distil.modeling.shape import describe_model
from distil.student.model import StudentConfig, save_student
from distil.student.no_teacher import train_on_text
from distil.student.start import first_weights
from distil.training.config import RunPaths, TrainConfig
from distil.training.data_loader import CachedDataset
from distil.training.objective import MASKED_LM_ONLY, Objective
from distil.training.text_only import TextOnlyDataset
from distil.training.validation import evaluate_heldout


def make_control(
    control: str,
    texts: list[TextOnlyDataset],
    languages: list[str],
    student: StudentConfig,
    config: TrainConfig,
    paths: RunPaths,
    processes: Processes = SINGLE_PROCESS,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make one control and write it to `paths.out`, a Hugging Face folder with its tokenizer.

    Args:
        control: start or masked_lm.
        texts: one of each language.
        languages: codes.
        student: the student's shape and start.
        config: the student's optimisation; its `patience` is not used.
        paths: where to read and write.
        processes: the processes that train together; the main one alone writes.

    Returns:
        The summary, in the form of metrics/no_teacher/summary.json without its key, and the cost of the training.

    Raises:
        UserError: the student starts from random weights or has language experts.
    """
    if student.init == "random":
        raise UserError(
            f"params.yaml: evaluate.controls: {control} starts where the student starts, but student.init is random, "
            "which the row `no_teacher` already shows; set student.init to teacher or evaluate.controls to []"
        )
    if student.experts:
        raise UserError(
            f"params.yaml: evaluate.controls: {control} is not made of a student with language experts "
            f"(student.experts {student.experts}); set evaluate.controls to [] or student.experts to 0"
        )
    prepared = [text.prepared for text in texts]
    model = first_weights(student, config.seed, prepared, paths.tokenizer, paths.teacher)
    if control == "masked_lm":
        summary, outcome = train_on_text(model, texts, languages, config, paths, f"control {control}", processes)
        return summary, outcome.cost
    objective = Objective(model, None, MASKED_LM_ONLY, [])
    model.to(process_device())  # type: ignore[arg-type]  # transformers hides the signature
    heldout = evaluate_heldout(objective, CachedDataset(texts, "heldout"), languages, config.batch_tokens)
    if processes.is_main:
        save_student(model, paths.tokenizer, paths.out)
    described = {"student": describe_model(model), "heldout": heldout}
    return {"steps": 0, "epochs": 0, "tokens": 0, "best_step": 0, **described}, {}
