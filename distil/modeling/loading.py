"""The one place where weights become a model: every weight of the model comes from the file, or it is refused by name.

transformers draws missing weights at random and only logs it; here they are an error, and so are weights that
the model has no place for.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from distil.core.errors import UserError
from distil.modeling.config import first_line, read_config
from distil.modeling.weight_files import find_weights
from distil.runtime.progress import silence_transformers

# Without "roberta.": what older versions of transformers stored besides the weights. Position numbers are counted from
# the input, and none of the models here reads the pooler.
LEFTOVERS = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


def load_model(
    model_class: Any, folder: Path, advice: str, *, shown: Path | None = None, new: str = "", unused: str = "",
    **changes: Any,
) -> Any:  # fmt: skip
    """A model of a Hugging Face folder in float32, ready to read from.

    Weights are safetensors only; no code from the folder is run.

    Args:
        model_class: one of transformers' XLMRobertaFor... or XmodFor... classes.
        folder: config.json and model.safetensors, whole or in shards.
        advice: ends each error; see `distil.modeling.config.remedy`.
        shown: the folder to name in errors, where `folder` is a copy.
        new: prefix of the weights of a head that the folder need not have; they are then drawn at random, all of them.
        unused: prefix of the weights of a head that the folder may have and this model does not use.
        changes: of the config, such as dropout.

    Raises:
        UserError: config or weights are missing, damaged, of another shape, or more or fewer than the model has.
    """
    silence_transformers()
    where = shown or folder
    read_config(folder, advice, model_class.config_class.model_type)
    weights = find_weights(folder, advice)
    if weights is None or weights.form != "safetensors":
        found = "none" if weights is None else f"{weights.files[0].name}, which can run code and is not opened"
        raise UserError(f"{where}: expected weights in model.safetensors, found {found}; {advice}")
    try:
        model, loading = model_class.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True,
            ignore_mismatched_sizes=True, **changes,
        )  # fmt: skip
    except SafetensorError as error:
        raise UserError(f"{where}/{_damaged(weights.files)}: damaged ({first_line(error)}); {advice}") from None
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise UserError(f"{where}: the weights do not load ({first_line(error)}); {advice}") from None
    _check_loaded(model, loading, where, advice, new, unused)
    _check_tied(model, where, advice)
    return model.eval()


def is_leftover(name: str) -> bool:
    """Whether a tensor of a checkpoint is known to be no weight of the model."""
    return name.removeprefix("roberta.") in LEFTOVERS


def _check_loaded(model: Any, loading: dict[str, Any], where: Path, advice: str, new: str, unused: str) -> None:
    """Raises UserError at a weight that is of another shape, missing, or not the model's."""
    if mismatched := sorted(loading["mismatched_keys"]):
        name, found, expected = mismatched[0]
        raise UserError(
            f"{where}: {name}: expected {_shape(expected)} as config.json has it, found {_shape(found)}"
            f"{_others(mismatched)}; use the config.json that came with the weights, or {advice}"
        )
    missing = sorted(loading["missing_keys"])
    if model.config.tie_word_embeddings:  # then a decoder is missing only with the weights that it shares
        missing = [name for name in missing if not name.startswith("lm_head.decoder.")]
    head = [name for name in model.state_dict() if new and name.startswith(new)]
    if head and set(head) <= set(missing):
        missing = [name for name in missing if name not in head]
    if missing and all(name.startswith("lm_head.") for name in missing):
        raise UserError(
            f"{where}: expected a masked language model with its head, found no weights for {missing[0]}"
            f"{_others(missing)}; use a model trained with masked-LM, not one without its head"
        )
    if missing:
        raise UserError(
            f"{where}: expected every weight of the model that config.json describes, found none for {missing[0]}"
            f"{_others(missing)}; copy or download the folder again, or {advice}"
        )
    unexpected = sorted(
        name for name in loading["unexpected_keys"]
        if not is_leftover(name) and not (unused and name.startswith(unused))
    )  # fmt: skip
    if unexpected:
        raise UserError(
            f"{where}: found weights that the model of config.json has no place for: {unexpected[0]}"
            f"{_others(unexpected)}; use the config.json that came with the weights, or {advice}"
        )


def _check_tied(model: Any, where: Path, advice: str) -> None:
    """Raises UserError where a masked-LM head that shares its weights has others: transformers 4 tied, 5 does not."""
    decoder = getattr(getattr(model, "lm_head", None), "decoder", None)
    if decoder is None or not model.config.tie_word_embeddings:
        return
    for name, one, other in (
        ("weight", decoder.weight, model.get_input_embeddings().weight),
        ("bias", decoder.bias, model.lm_head.bias),
    ):
        if one is not other:
            raise UserError(f"{where}: lm_head.decoder.{name}: {DIFFERS}; {advice}")


DIFFERS = (
    "expected the values that it shares (config.json: tie_word_embeddings), found others; set tie_word_embeddings to "
    "false where the head was trained with weights of its own"
)


def _others(names: list[Any]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _shape(shape: Any) -> str:
    return " x ".join(map(str, shape))


def _damaged(files: list[Path]) -> str:
    """The name of the first file that does not open, or of the first where all do."""
    for path in files:
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError):
            return path.name
    return files[0].name
