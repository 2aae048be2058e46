"""dvc.yaml says what the code does: deps are the imports, params are what is read, and each stage is documented."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from distil.evaluation.controls import CONTROLS, finetune_stage
from distil.finetuning.run import BASE_MODELS
from distil.runtime.stage_number import stage_names
from distil.serving.onnx_export import ExportConfig
from tests.support import ROOT
from tests.support.repository import STAGES

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))

# A package imports only packages above it in this list.
ORDER = (
    "core", "text", "compute", "runtime", "modeling", "sources", "tasks", "corpus", "tokenization", "cache", "teacher",
    "losses", "training", "student", "evaluation", "finetuning", "merging", "serving", "web", "rivals", "decoders",
    "embedding", "tracking", "report",
)  # fmt: skip

# Imported by stages and dep of none: they show progress, end a process and write to MLflow, and cannot change a result.
OBSERVERS = ("distil/__init__.py", "distil/runtime/", "distil/tracking/run.py", "distil/tracking/store.py",
             "distil/tracking/student_run.py")  # fmt: skip

# Files that a stage depends on through a folder without importing them. An edit of one reruns the stage for nothing, so
# each is a decision: the folder is shorter to write, and the file rarely changes or the stage is cheap.
SURPLUS = {
    "tasks": "sources/hub sources/hub_models tasks/tag_sequences",
    "corpus": "text/words",
    "teacher": "compute/distributed modeling/experts",
    "cache_teacher": "modeling/experts modeling/shape",
    "distil": "student/controls student/no_teacher",
    **dict.fromkeys(
        ("finetune_teacher", "finetune_student", "finetune_student_plain", "finetune_no_teacher", "finetune_control"),
        "compute/distributed modeling/shape",
    ),
    "merge_student": "compute/distributed finetuning/run modeling/shape",
    "evaluate": "evaluation/baselines evaluation/footprint evaluation/footprint_worker evaluation/linear_teacher "
    "evaluation/pooled_teacher evaluation/task_teachers evaluation/teacher_mixture "
    "text/encoding text/normalisation text/views text/words",
    "rival": "compute/distributed finetuning/row_predictions finetuning/run finetuning/soft_labels",
    "export": "serving/companion_fit serving/ort_format serving/shrink text/overlap text/words",
    "linear_companion": "text/overlap text/words",
    "pairs": "text/normalisation text/views text/words",
    "embed": "modeling/shape",
    "evaluate_embedding": "modeling/shape serving/cli serving/companion_fit serving/onnx_export serving/ort_format "
    "serving/parity serving/shrink serving/small_tokenizer serving/speed serving/word_embeddings text/overlap "
    "text/words",
    "report": "evaluation/baselines evaluation/bootstrap evaluation/comparison evaluation/footprint "
    "evaluation/few_labels evaluation/footprint_worker evaluation/linear_teacher evaluation/pooled_teacher "
    "evaluation/run evaluation/scores evaluation/task_teachers evaluation/teacher_mixture "
    "report/result "
    "report/result_command",
}

# What must never be able to run a stage again.
NEVER = {
    "teacher": ("cache", "losses", "training", "student", "finetuning", "evaluation", "report"),
    "cache_teacher": ("losses", "training", "student", "finetuning", "evaluation", "report"),
    "distil": ("teacher", "finetuning", "evaluation", "serving", "report", "tasks"),
    "finetune_teacher": ("cache", "teacher", "losses", "training", "student", "serving", "report"),
}

NO_STAGE = {"__init__", "preset"}  # what comes before each, and a command for people


def stages() -> dict[str, dict[str, Any]]:
    """Each stage's block; of `foreach` the part under `do`."""
    return {name: block.get("do", block) for name, block in PIPELINE["stages"].items()}


def entry(stage: str) -> Path:
    """The file that a stage runs: its own, or that of its kind (finetune_student runs stages/finetune.py)."""
    return ROOT / "stages" / f"{stages()[stage]['cmd'].split()[2].removeprefix('stages.')}.py"


def file_of(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


def imports(path: Path) -> set[Path]:
    """First-party files that a file imports, anywhere in it; a package's `__init__.py` is a docstring only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] in ("distil", "stages") and (target := file_of(name)):
                found.add(target)
    return found


def package(path: Path) -> str:
    """The part of distil/ that a file is in."""
    return path.relative_to(ROOT / "distil").parts[0]


def closure(path: Path) -> set[str]:
    """A file and all first-party files that it imports, directly or not; observers and what they import left out."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in seen and not current.relative_to(ROOT).as_posix().startswith(OBSERVERS):
            seen.add(current)
            waiting += imports(current)
    return {found.relative_to(ROOT).as_posix() for found in seen}


def code_of(stage: str) -> set[str]:
    """The Python files that a stage depends on, those of its folders included; no `__init__.py`, a docstring only."""
    found = set()
    for dep in stages()[stage]["deps"]:
        if dep.startswith(("distil", "stages")):
            path = ROOT / dep
            files = path.rglob("*.py") if path.is_dir() else [path] if path.suffix == ".py" else []
            found |= {file.relative_to(ROOT).as_posix() for file in files if file.name != "__init__.py"}
    return found


def core() -> set[str]:
    """A dep of every stage as a whole: it is small, and what it does decides every file."""
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "distil/core").glob("*.py")}


@pytest.mark.parametrize("stage", stages())
def test_deps_hold_all_that_is_imported_and_nothing_more_than_is_decided(stage: str) -> None:
    imported, named = closure(entry(stage)), code_of(stage)
    assert imported - named == set()
    assert named - imported - core() == {f"distil/{file}.py" for file in SURPLUS.get(stage, "").split()}


@pytest.mark.parametrize("stage", stages())
def test_a_folder_is_named_where_all_of_it_is_used_or_decided_and_no_file_beside_it(stage: str) -> None:
    folders = [dep for dep in stages()[stage]["deps"] if dep.startswith("distil/") and (ROOT / dep).is_dir()]
    files = [dep for dep in stages()[stage]["deps"] if dep.startswith("distil/") and dep.endswith(".py")]
    assert all((ROOT / file).is_file() for file in files)
    assert not [file for file in files if any(file.startswith(f"{folder}/") for folder in folders)]


@pytest.mark.parametrize("stage", NEVER)
def test_an_expensive_stage_depends_on_nothing_that_cannot_change_it(stage: str) -> None:
    packages = {file.split("/")[1] for file in code_of(stage) if file.startswith("distil/")}
    allowed = {"distil": set(), "finetune_teacher": {"evaluation"}}.get(stage, set())
    assert not (set(NEVER[stage]) - allowed) & packages
    assert "runtime" not in packages


def test_an_edit_of_scoring_never_fine_tunes_again() -> None:
    scoring = {f"distil/evaluation/{name}.py" for name in ("scores", "bootstrap", "comparison", "run")}
    for stage in stages():
        if stage.startswith("finetune_"):
            assert not scoring & code_of(stage), stage
    assert scoring <= code_of("evaluate")


def test_a_package_imports_only_packages_above_it() -> None:
    modules = [path for path in (ROOT / "distil").rglob("*.py") if path.parent != ROOT / "distil"]
    assert {package(path) for path in modules} == set(ORDER)
    for path in modules:
        for target in imports(path):
            assert target.parent != ROOT / "distil", f"{path} imports {target}"
            assert ORDER.index(package(target)) <= ORDER.index(package(path)), f"{path} imports {target}"


def test_parts_of_the_report_import_only_what_is_before_them() -> None:
    """Files of stages, then notices and tables of what they hold, then pictures."""
    order = ["inputs", "notices", "tables", "charts"]
    for path in (ROOT / "distil/report").glob("*/*.py"):
        for target in imports(path):
            if target.parent.parent == path.parent.parent:
                assert order.index(target.parent.name) <= order.index(path.parent.name), f"{path} imports {target}"


def test_every_init_file_is_one_docstring() -> None:
    for path in (ROOT / "distil").rglob("*/__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1 and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_the_long_tests_expect_every_stage_of_the_sample() -> None:
    assert set(yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]) == STAGES


def test_dvc_yaml_stays_short() -> None:
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 500


def test_every_file_is_run_by_a_stage_and_a_stage_is_named_for_its_file() -> None:
    files = {path.stem for path in (ROOT / "stages").glob("*.py")}
    assert files - NO_STAGE == {entry(stage).stem for stage in stages()}
    for stage in stages():
        name, arguments = entry(stage).stem, stages()[stage]["cmd"].split()[3:]
        # finetune_control@start-sentiment runs `stages.finetune student_start sentiment`.
        assert stage == name or stage in (f"{name}_{arguments[0]}", "finetune_control")


@pytest.mark.parametrize("stage", stages())
def test_every_stage_has_prose_and_runs_as_a_module(stage: str) -> None:
    block = stages()[stage]
    assert len(block["desc"].split()) >= 8 and block["desc"].strip().endswith(".")
    assert block["cmd"].split()[:3] == ["python", "-m", f"stages.{entry(stage).stem}"]
    assert not any(Path(dep) in (Path("distil"), Path("stages")) for dep in block["deps"])


def test_one_small_file_holds_what_dvc_compares() -> None:
    """Whatever stands under `metrics:` is a column of `dvc exp show`; whatever under `plots:` a picture of its own."""
    shown = {name: block["metrics"] for name, block in stages().items() if "metrics" in block}
    assert shown == {"report": [{"metrics/headline.json": {"cache": False}}]}
    assert not any("plots" in block for block in stages().values())


def test_what_takes_minutes_is_kept_for_an_earlier_setting() -> None:
    """DVC saves no run of a stage that has a plain out with `cache: false`, and would compute it again."""
    cheap = {name for name, block in stages().items() if any(isinstance(out, dict) for out in block.get("outs", []))}
    assert cheap == {"evaluate", "footprint", "export", "report"}


def sections_read(path: Path) -> set[str]:
    """Top-level sections of params.yaml that a stage asks for by name, through the functions of distil.core.params."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in ("load_params", "load_list"):
            first = node.args[0]
            text = first.value if isinstance(first, ast.Constant) else ast.unparse(first).split("'")[1]
            found.add(str(text).split(".")[0])
        elif node.func.id in ("load_languages", "load_seed"):
            found.add(node.func.id.removeprefix("load_"))
    return found


@pytest.mark.parametrize("stage", stages())
def test_a_stage_declares_every_section_that_it_reads(stage: str) -> None:
    declared = {param.split(".")[0] for param in stages()[stage]["params"]}
    assert sections_read(entry(stage)) <= declared
    assert declared <= set(PARAMS)


def test_nothing_before_distil_depends_on_how_the_student_is_trained_or_scored() -> None:
    for stage in ("tasks", "corpus", "teacher", "vocabulary", "tokenize", "cache_teacher"):
        # The pieces of a frozen trunk decide those of the student that is built on it.
        declared = {param.split(".")[0] for param in stages()[stage]["params"] if param != "student.trunk"}
        assert not declared & {"student", "loss", "train", "layer_map", "finetune", "evaluate"}, stage


def test_nothing_of_the_student_reaches_the_fine_tuned_teacher() -> None:
    block = stages()["finetune_teacher"]
    assert not any("student" in name for name in [*block["deps"], *block["params"]])
    assert not {"finetune", "student", "loss", "train"} & {param for param in block["params"]}


def test_only_the_student_and_its_controls_learn_from_the_teachers_distributions() -> None:
    taught = {stage for stage, block in stages().items() if any("task_targets/" in dep for dep in block["deps"])}
    assert taught == {"mix_teachers"}
    taught = {stage for stage, block in stages().items() if any("mixed_targets/" in dep for dep in block["deps"])}
    assert taught == {"finetune_student", "finetune_control"}
    assert {stage for stage, block in stages().items() if "finetune.task_weight" in block["params"]} == taught


def test_every_key_of_finetune_is_a_param_of_the_stage_that_it_changes() -> None:
    keys = {f"finetune.{key}" for key in PARAMS["finetune"]}
    keys.remove("finetune.task_teachers")  # of mix_teachers, whose soft labels the student takes
    assert keys - {"finetune.teacher"} <= set(stages()["finetune_student"]["params"])
    for stage in ("finetune_student_plain", "finetune_no_teacher"):
        assert keys - set(stages()[stage]["params"]) == {
            "finetune.teacher", "finetune.task_distillation", "finetune.task_temperature", "finetune.task_weight",
            "finetune.unlabelled",
        }  # fmt: skip


def test_a_model_is_fine_tuned_from_where_the_code_says() -> None:
    for model, (start, made_by) in BASE_MODELS.items():
        stage, _, item = finetune_stage(model, "mood").partition("@")
        control = item.removesuffix("-mood")
        deps = [dep.replace("${item.control}", control) for dep in stages()[stage]["deps"]]
        assert start.as_posix() in deps
        assert made_by.removesuffix(f"@{control}") in stages()


def test_a_control_is_fine_tuned_just_as_the_student_is() -> None:
    student, control = (stages()[f"finetune_{model}"] for model in ("student", "control"))
    assert control["params"] == student["params"]
    assert code_of("finetune_control") == code_of("finetune_student")


def test_controls_that_are_off_are_no_stages_and_depend_on_no_loss_where_they_are_on() -> None:
    assert not [name for name in stage_names(PIPELINE["stages"], PARAMS) if "control" in name]
    on = {**PARAMS, "evaluate": {**PARAMS["evaluate"], "controls": list(CONTROLS)}}
    assert {name for name in stage_names(PIPELINE["stages"], on) if "control" in name} == {
        *("control@start", "control@masked_lm"),
        *("finetune_control@start-sentiment", "finetune_control@masked_lm-sentiment"),
    }
    block = stages()["control"]
    assert not {param.split(".")[0] for param in block["params"]} & {"loss", "layer_map", "cache_teacher", "evaluate"}
    assert "train.patience" not in block["params"] and "data/teacher" not in block["deps"]


def test_a_merged_student_is_a_stage_where_it_is_asked_for_and_within_what_the_export_reads() -> None:
    assert not [name for name in stage_names(PIPELINE["stages"], PARAMS) if "merge" in name]
    on = {**PARAMS, "evaluate": {**PARAMS["evaluate"], "merge": {"tasks": ["sentiment"]}}}
    assert "merge_student@sentiment" in stage_names(PIPELINE["stages"], on)
    block = PIPELINE["stages"]["merge_student"]["do"]
    assert "models/finetuned/student/merged/${item}" in block["outs"]
    assert "models/finetuned/student" in stages()["export"]["deps"]


def test_rivals_that_are_off_are_no_stages_and_a_teachers_reruns_for_no_change_of_a_student() -> None:
    assert not [name for name in stage_names(PIPELINE["stages"], PARAMS) if name.startswith("rival")]
    on = {**PARAMS, "rivals": {"small": {"base": "models/finetuned/teacher"}}}
    assert "rival@small" in stage_names(PIPELINE["stages"], on)
    block = stages()["rival"]
    assert not any("student" in dep or "no_teacher" in dep for dep in block["deps"])
    assert not {param.split(".")[0] for param in block["params"]} & {"student", "loss", "layer_map", "train"}
    assert not {"finetune", "finetune.student", "export", "evaluate"} & set(block["params"])


def test_a_rival_is_exported_and_fine_tuned_as_the_student_and_the_teacher_are() -> None:
    declared = {param for param in stages()["rival"]["params"] if param.startswith(("export.", "finetune."))}
    exporting = {f"export.{key}" for key in ExportConfig.model_fields} - {"export.speed_rows", "export.repetitions"}
    fine_tuning = {param for param in stages()["finetune_teacher"]["params"] if param.startswith("finetune.")}
    assert declared == exporting | fine_tuning


def test_every_key_of_params_yaml_stands_under_a_comment() -> None:
    """Meaning, unit and allowed values stand above a key or above the run of keys that it begins."""
    commented = False
    for line in (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            commented = True
        elif not text:
            commented = False
        elif not text.startswith("-") or text.startswith("- student"):
            assert commented or text.endswith(":"), line


def test_params_yaml_is_written_in_block_style() -> None:
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    values = [line.split(":", 1)[1].strip() for line in lines if ":" in line and not line.strip().startswith("#")]
    assert not [value for value in values if value.startswith(("[", "{")) and value not in ("[]", "{}")]
