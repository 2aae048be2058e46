"""`auto` is the precision in which the machine is faster, and what is keyed is never `auto`."""

from pathlib import Path

import pytest
import torch

from distil.compute import precision
from distil.compute.precision import Precision, autocast, fastest_precision
from distil.core.errors import UserError
from distil.core.params import Params, parse_params


class Config(Params):
    """A section with a precision."""

    precision: Precision


@pytest.fixture(autouse=True)
def fresh():
    fastest_precision.cache_clear()
    yield
    fastest_precision.cache_clear()


def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    """A processor with these flags, and no GPU."""
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: none\n")
    monkeypatch.setattr(precision, "CPU_FLAGS", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f amx_bf16 amx_tile", "bfloat16"),
        ("fpu avx512f avx512_bf16", "bfloat16"),
        ("fpu avx512f avx512_vnni", "float32"),
        ("", "float32"),
    ],
)
def test_a_processor_with_instructions_for_it_takes_bfloat16(tmp_path, monkeypatch, flags: str, expected: str) -> None:
    cpu(tmp_path, monkeypatch, flags)
    assert parse_params({"precision": "auto"}, Config, "here").model_dump() == {"precision": expected}


def test_off_linux_it_is_float32(tmp_path, monkeypatch) -> None:
    cpu(tmp_path, monkeypatch, "amx_bf16")
    (tmp_path / "cpuinfo").unlink()
    assert fastest_precision() == "float32"


@pytest.mark.parametrize(("capable", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_gpu_takes_bfloat16_where_it_computes_with_it(monkeypatch, capable: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: capable)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert fastest_precision() == expected


def test_what_is_set_stays_and_anything_else_is_refused() -> None:
    assert parse_params({"precision": "bfloat16"}, Config, "here").precision == "bfloat16"
    with pytest.raises(UserError, match="input should be 'auto', 'float32' or 'bfloat16', found 'half'"):
        parse_params({"precision": "half"}, Config, "here")


def test_products_have_the_precision_and_weights_do_not() -> None:
    layer = torch.nn.Linear(4, 4)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(torch.device("cpu"), name):
            assert layer(torch.ones(2, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32
