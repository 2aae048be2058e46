"""The precision of a forward pass. Weights, sums over rows and whatever is stored are float32 in every one."""

import logging
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator

log = logging.getLogger("distil")

CPU_FLAGS = Path("/proc/cpuinfo")
# Flag of Linux: name. Intel since Sapphire Rapids has both, AMD since Zen 4 the second.
CPU_BFLOAT16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}


@cache
def fastest_precision() -> Literal["float32", "bfloat16"]:
    """The precision in which this machine multiplies matrices faster.

    By capability: bfloat16 on a GPU that computes with it, and on a processor with instructions for it (AMX or
    AVX512-BF16: 2 to 3 times as fast as float32; on others it is several times slower).
    `python -m benchmarks.precision` measures it.
    """
    if torch.cuda.is_available():
        fast, why = torch.cuda.is_bf16_supported(including_emulation=False), torch.cuda.get_device_name()
    else:
        found = [name for flag, name in CPU_BFLOAT16.items() if flag in _cpu_flags()]
        fast, why = bool(found), f"this processor has {' and '.join(found) or 'neither AMX nor AVX512-BF16'}"
    chosen: Literal["float32", "bfloat16"] = "bfloat16" if fast else "float32"
    log.info("precision auto: %s (%s)", chosen, why)
    return chosen


def _cpu_flags() -> list[str]:
    """What the first processor can do, by Linux's names; none where there is no such file."""
    try:
        lines = CPU_FLAGS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])


# A setting: `auto` becomes what it stands for here, so whatever is keyed or recorded names the precision itself.
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    AfterValidator(lambda value: fastest_precision() if value == "auto" else value),
]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context of a forward pass in float32 or bfloat16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
