"""An earlier student that stays as it is while new languages learn experts on it (`student.trunk`)."""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from distil.core.errors import UserError
from distil.core.files import sha256_file, verify_checksums
from distil.core.languages import language_tag
from distil.core.params import NO_FOLDER
from distil.modeling.config import EXPERTS, SUPPORTED, read_config
from distil.modeling.experts import add_experts, expert_languages, has_experts, load_student
from distil.modeling.tokenizer import max_tokens, read_manifest
from distil.student.model import StudentConfig

# Times train.learning_rate, of experts on a frozen trunk: they start from zero. One pass over 30,000 tokens of Yoruba
# at a rate of 0.001 leaves a KL of 2.10 nats to the teacher, ten times the rate 1.31 (docs/results/ablations.md).
EXPERT_RATE = 10.0
ADVICE = "give student.trunk a copy of an earlier models/student"
SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


class Trunk(NamedTuple):
    """A folder that can be built on."""

    folder: Path
    languages: list[str]  # the trunk's, the first of params.yaml
    new: list[str]  # the others, which get an expert


def open_trunk(folder: Path, languages: list[str], student: StudentConfig, tokenizer: Path, longest: int) -> Trunk:
    """Compare a trunk with the settings and the prepared text.

    Args:
        folder: an earlier models/student, with language experts or without.
        languages: of params.yaml.
        student: section `student:`.
        tokenizer: models/tokenizer.
        longest: tokens in a sequence of the prepared text at most.

    Raises:
        UserError: no student there, another shape or width of experts, pieces or languages that are not the trunk's, no
            language that is new, or fewer positions than the text needs.
    """
    verify_checksums(folder, "distil")
    config = read_config(folder, ADVICE, EXPERTS if has_experts(folder) else SUPPORTED)
    found = {name: config[name] for name in SHAPE}
    if config["model_type"] == EXPERTS:
        found["experts"] = config["hidden_size"] // config["adapter_reduction_factor"]
    for name, value in found.items():
        if getattr(student, name) != value:
            raise UserError(
                f"params.yaml: student.{name}: expected {value}, as student.trunk {folder} has, found "
                f"{getattr(student, name)}; set it to {value}"
            )
    manifest = read_manifest(tokenizer)
    if sha256_file(tokenizer / "tokenizer.json") != sha256_file(folder / "tokenizer.json"):
        raise UserError(
            f"params.yaml: student.trunk {folder} with vocabulary.keep {manifest['keep']}: the trunk's pieces must "
            "stay, found others in models/tokenizer; set vocabulary.keep to trunk and run `dvc repro cache_teacher`"
        )
    if (positions := max_tokens(config)) < longest:
        raise UserError(
            f"params.yaml: tokenize.max_length: expected at most {positions}, the positions of student.trunk {folder}, "
            f"found {longest}; lower it"
        )
    tags = _language_tags(folder)
    if [language_tag(code) for code in languages[: len(tags)]] != tags:
        raise UserError(
            f"params.yaml: languages: expected those of student.trunk {folder} first, in its order ({', '.join(tags)} "
            f"in its README.md), found {', '.join(languages)}"
        )
    known, new = languages[: len(tags)], languages[len(tags) :]
    if not new:
        raise UserError(
            f"params.yaml: languages: all {len(languages)} are in student.trunk {folder} already; nothing to train; "
            "add a language, or set student.trunk to distil/lexicons"
        )
    return Trunk(folder, known, new)


def _language_tags(folder: Path) -> list[str]:
    """The languages that the metadata of a model card names."""
    path = folder / "README.md"
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])["language"]
        tags = [found] if isinstance(found, str) else [str(tag) for tag in found]
    except (OSError, ValueError, IndexError, KeyError, TypeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: expected a model card with the student's languages, found none ({type(error).__name__}); {ADVICE}"
        ) from None
    return tags


def trunk_key(student: StudentConfig) -> dict[str, str]:
    """What of the trunk decides a training, beside its name: for the key of unfinished work; {} without a trunk."""
    if student.trunk == NO_FOLDER:
        return {}
    weights = Path(student.trunk) / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{weights}: no such file; {ADVICE}")
    return {"trunk": sha256_file(weights)}


def grow(trunk: Trunk, student: StudentConfig) -> Any:
    """The trunk with an untrained expert for each new language; only these have a gradient.

    X-MOD's way of adding a language (arXiv 2205.06266): nothing that an old language is computed with can change.
    """
    base: Any = load_student(trunk.folder, "distil")
    model: Any = add_experts(base, trunk.new, [*trunk.languages, *trunk.new], student.experts)
    for module in model.modules():  # the trunk's own configuration has the dropout with which it was trained
        if hasattr(module, "p"):
            module.p = student.dropout
    model.requires_grad_(False)
    for layer in model.roberta.encoder.layer:
        for code in trunk.new:
            layer.output.adapter_modules[code].requires_grad_(True)
    return model


def forgetting(before: dict[str, Any], after: dict[str, Any], trunk: Trunk) -> dict[str, Any]:
    """Held-out figures of each language on the trunk alone and with the new experts.

    Args:
        before: of `evaluate_heldout`, before the training.
        after: after it.
        trunk: which languages are new.

    Returns:
        {language: {"new": bool, "kl_before", "kl_after", "nll_before", "nll_after" in nats}}.
    """
    names = {"kl": "kl", "nll": "student_nll"}
    return {
        code: {"new": code in trunk.new, **{f"{short}_{when}": figures[code][name] for short, name in names.items()
                                            for when, figures in (("before", before), ("after", after))}}
        for code in after
    }  # fmt: skip


def describe_experts(model: Any, width: int, recognised: dict[str, float]) -> dict[str, Any]:
    """The experts for the summary.

    Args:
        model: with experts.
        width: of each.
        recognised: by language the share of held-out texts that the gate recognises.

    Returns:
        `width`, `languages` with an expert, `parameters` of all experts, `recognised`.
    """
    parts = [layer.output.adapter_modules for layer in model.roberta.encoder.layer]
    parameters = sum(parameter.numel() for part in parts for parameter in part.parameters())
    return {"width": width, "languages": expert_languages(model), "parameters": parameters, "recognised": recognised}
