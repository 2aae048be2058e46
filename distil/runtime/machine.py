"""The machine and the memory of this process: what figures are measured on, peaks, memory handed back."""

import ctypes
import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path


def machine(*packages: str) -> str:
    """Processor, cores, Python and the versions of `packages`, for beside figures that were measured here."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return ", ".join([
        name, f"{os.cpu_count()} CPU cores", f"Python {platform.python_version()}",
        *(f"{package} {version(package)}" for package in packages),
    ])  # fmt: skip


def peak_memory() -> int:
    """The largest resident set of this process so far, in bytes.

    On Linux getrusage would give that of the process which started it (dvc, a benchmark) where that was larger.
    """
    return _status("VmHWM") or _getrusage()


def current_memory() -> int:
    """The resident set of this process, in bytes; where the system does not say, its peak."""
    return _status("VmRSS") or _getrusage()


def peak_gpu_memory() -> int | None:
    """The most that this process held of its GPU so far, in bytes, freed blocks that torch keeps among them.

    CUDA's own context, some 0.5 GB, comes on top. None where no GPU was used; torch is not imported for it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_reserved()


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes; 0 where there is none."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{field}:")), 0)


def _getrusage() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere


def release_memory() -> None:
    """Return freed memory to the system (glibc's malloc_trim; elsewhere nothing).

    Tensors of many shapes leave holes that glibc keeps: without this a process that runs a teacher over batches of all
    lengths grows for a long while. After every batch of 4,096 tokens it costs about 1.5 % of a 12-layer teacher's time.
    """
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
