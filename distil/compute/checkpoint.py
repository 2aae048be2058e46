"""Training state on disk: everything that a killed run needs to resume exactly.

One safetensors file, written atomically: the model's and optimiser's tensors, torch's random state, and a JSON
text (as bytes) with the rest. Nothing is pickled.
"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from distil.core.files import atomic_path

log = logging.getLogger("distil")


def save_checkpoint(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Write modules, optimiser and random state; `state` is any JSON value (numbers survive exactly)."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value for key, value in _unshared(module).items()}
    for number, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    tensors["random"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random_cuda"] = torch.cuda.get_rng_state()
    tensors["state"] = torch.from_numpy(np.frombuffer(json.dumps(state).encode(), np.uint8).copy())
    with atomic_path(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> Any | None:
    """Restore what `save_checkpoint` wrote and return its `state`; None when there is none or it is damaged."""
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        state = json.loads(tensors.pop("state").numpy().tobytes())
    except Exception as error:  # safetensors raises its own class; whatever is wrong, training starts over
        log.warning("%s: damaged (%s); training starts from the beginning", path, error)
        return None
    for name, module in modules.items():
        own = {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        module.load_state_dict(own, strict=False)
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer/"):
            _, number, slot = key.split("/")
            slots.setdefault(int(number), {})[slot] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"])
    return state


def _unshared(module: nn.Module) -> dict[str, Tensor]:
    """The state dict with each storage once: tied weights are restored through the tensor that they share."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in module.state_dict().items():
        if tensor.data_ptr() not in seen or tensor.numel() == 0:
            seen.add(tensor.data_ptr())
            kept[name] = tensor
    return kept
