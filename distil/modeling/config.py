"""config.json of an XLM-R model, read strictly: one sentence where transformers would guess or end in a traceback.

The type of model is compared first: the values of another architecture are not looked at.
"""

import json
from pathlib import Path
from typing import Any

from transformers import XLMRobertaConfig, XmodConfig
from transformers.activations import ACT2FN

from distil.core.errors import UserError

SUPPORTED = "xlm-roberta"
EXPERTS = "xmod"  # a student with language experts (distil/modeling/experts.py)
_CLASSES: dict[str, Any] = {SUPPORTED: XLMRobertaConfig, EXPERTS: XmodConfig}

_SHAPE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
          "max_position_embeddings")  # fmt: skip  # transformers has a default for each, which is another model's
_WHOLE = ("type_vocab_size", "pad_token_id")
_NUMBERS = ("layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
_FLAGS = ("is_decoder", "add_cross_attention", "tie_word_embeddings")
# Values that transformers accepts and that make it compute something else, or nothing that is supported here.
_ONLY: dict[str, tuple[Any, str]] = {
    "is_decoder": (False, "a decoder sees the words before a mask only"),
    "add_cross_attention": (False, "such a model reads a second input"),
    "position_embedding_type": ("absolute", "transformers 5 ignores other types and gives other results"),
    "quantization_config": (None, "weights have to be floating-point numbers"),
}


def remedy(stage: str | None) -> str:
    """What to do about a model folder: of the stage that writes it, or of a person who chose it (None)."""
    return f"run `dvc repro --force {stage}`" if stage else "choose another model in `teacher:` of params.yaml"


def read_config(folder: Path, advice: str, supported: str = SUPPORTED) -> dict[str, Any]:
    """config.json of a model folder, once every value that decides the architecture is what it has to be.

    Args:
        folder: a Hugging Face folder.
        advice: ends each error; see `remedy`.
        supported: the type of model that it has to be, `SUPPORTED` or `EXPERTS`.

    Raises:
        UserError: no config.json, no JSON, another type of model, or a value that is missing or of the wrong type.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder}: expected a model folder with config.json, found none; {advice}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a model's config ({str(error)[:200]}); {advice}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a model's config (expected an object, found {_show(config)}); {advice}")
    found = config.get("model_type")
    if found == EXPERTS != supported:
        raise UserError(
            f"{path}: model_type: expected {supported}, found {found}, a student with language experts, which cannot "
            "be used here; give a student that was made with student.experts 0"
        )
    if found != supported:
        raise UserError(
            f"{path}: model_type: expected {supported}, found {found if isinstance(found, str) else _show(found)}; any "
            "XLM-R masked language model works, such as Davlan/afro-xlmr-large, Davlan/afro-xlmr-base or "
            "FacebookAI/xlm-roberta-base"
        )
    _check_values(config, path, advice)
    try:
        _CLASSES[supported].from_dict(config)
    except Exception as error:  # transformers and its strict dataclasses raise classes of many kinds
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a model's config ({reason}); {advice}") from None
    return config


def _check_values(config: dict[str, Any], path: Path, advice: str) -> None:
    """Raises UserError at the first value of the wrong type or that is not supported."""
    for name in _SHAPE + _WHOLE:
        value = config.get(name, None if name in _SHAPE else 1)
        if type(value) is not int or value < (0 if name == "pad_token_id" else 1):
            found = _show(value) if name in config else "none"
            raise UserError(f"{path}: {name}: expected a whole number, found {found}; correct it there, or {advice}")
    for name in _NUMBERS:
        value = config.get(name, 0)
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise UserError(
                f"{path}: {name}: expected a number from 0 to 1, found {_show(value)}; correct it there, or {advice}"
            )
    for name in _FLAGS:
        if type(value := config.get(name, False)) is not bool:
            raise UserError(
                f"{path}: {name}: expected true or false, found {_show(value)}; correct it there, or {advice}"
            )
    if config["hidden_size"] % config["num_attention_heads"]:
        raise UserError(
            f"{path}: num_attention_heads: expected a divisor of hidden_size {config['hidden_size']}, found "
            f"{config['num_attention_heads']}; correct it there, or {advice}"
        )
    if (value := config.get("hidden_act", "gelu")) not in list(ACT2FN):
        raise UserError(
            f"{path}: hidden_act: expected an activation of transformers, such as gelu, found {_show(value)}; "
            f"correct it there, or {advice}"
        )
    for name, (expected, why) in _ONLY.items():
        if (value := config.get(name, expected)) != expected:
            raise UserError(f"{path}: {name}: expected {_show(expected)}, found {_show(value)}: {why}; {advice}")


def _show(value: Any) -> str:
    """A JSON value as it is written there, cut to a sensible length."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def first_line(error: Exception) -> str:
    """The first line of an error's text, cut to a sensible length."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
