"""ONNX Runtime's own format for small builds of it, as apps for Android and iOS have them."""

import logging
from pathlib import Path

import onnxruntime

from distil.core.files import write_text
from distil.serving.runtime import SLOW_FUSIONS, session_options

OPERATORS = "required_operators.config"


def write_ort(model: Path, folder: Path) -> None:
    """Write model.ort, optimised for any processor, and the operators that a build of ONNX Runtime needs for it.

    Args:
        model: an ONNX file.
        folder: gets model.ort and required_operators.config, for `build.sh --include_ops_by_config`.
    """
    options = session_options()
    options.optimized_model_filepath = str(folder / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"],
        disabled_optimizers=[*SLOW_FUSIONS, "NchwcTransformer"],  # the second is for x86 alone
    )  # fmt: skip
    from onnxruntime.tools.ort_format_model import create_config_from_models  # sets up logging as it is imported

    logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)
    create_config_from_models([folder / "model.ort"], folder / OPERATORS, enable_type_reduction=False)
    lines = (folder / OPERATORS).read_text(encoding="utf-8").splitlines()
    write_text(folder / OPERATORS, "".join(f"{line}\n" for line in lines if not line.startswith("#")))
