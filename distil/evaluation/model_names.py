"""The models of the tables: their order and their titles."""

MODEL_TITLES = {
    "student": "Student",
    "student_plain": "Student, plain fine-tuning",
    "no_teacher": "Without a teacher",
    "teacher": "Teacher",
    "tfidf": "TF-IDF",
    "majority": "Majority",
}  # in the order of tables
MODELS = list(MODEL_TITLES)
BASELINES = ["tfidf", "majority"]
FINE_TUNED = ["teacher", "student", "student_plain", "no_teacher"]  # fine-tuned, in the order of stages


def predictions_stage(model: str, task: str) -> str:
    """The stage that predicts the test rows of a task with a model."""
    return f"baselines@{task}" if model in BASELINES else f"finetune_{model}@{task}"
