"""Several processes of one stage: the rank of this one, and sums over all.

A launcher (`launch.processes` of params.yaml, `accelerate launch`, torchrun) starts the processes and sets RANK,
WORLD_SIZE and where they meet: a file on one machine, an address on several. Without one a stage is process 0 of 1,
and nothing here costs anything.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import Tensor

from distil.core.pipeline import MEETING_FILE

WAIT = timedelta(minutes=60)  # one process may have to compute shards while the others have none left


class Processes(NamedTuple):
    """The place of this process among all: `rank` 0 to `world` - 1."""

    rank: int = 0
    world: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes what all share."""
        return self.rank == 0

    def all_reduce_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in place; one message for all of them together."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.detach().copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def sums(self, numbers: Sequence[float]) -> list[float]:
        """The sum of each number over all processes."""
        if self.world == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=process_device())
        self.all_reduce_([total])
        return [float(number) for number in total]

    def from_main(self, number: float) -> float:
        """What the main process has there, so that all decide alike."""
        return self.sums([number if self.is_main else 0.0])[0]

    def barrier(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            torch.distributed.barrier()


class RoundRobin:
    """Assign work items to the processes in turn, without communication."""

    def __init__(self, processes: Processes) -> None:
        self._processes, self._dealt = processes, 0

    def takes_next(self) -> bool:
        """Whether the next piece is this process's."""
        mine = self._dealt % self._processes.world == self._processes.rank
        self._dealt += 1
        return mine


SINGLE_PROCESS = Processes()


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def process_device() -> torch.device:
    """The GPU of this process (LOCAL_RANK), or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def init_distributed() -> Processes:
    """Meet the other processes of a launcher; without one, process 0 of 1."""
    if not launched():
        return Processes()
    rank, world, device = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), process_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    file = os.environ.get(MEETING_FILE)  # without one at MASTER_ADDR and MASTER_PORT, which every launcher sets
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", init_method=f"file://{file}" if file else "env://", rank=rank,
        world_size=world, timeout=WAIT,
    )  # fmt: skip
    return Processes(rank, world)


def shut_down() -> None:
    """Part from the other processes once all work is done; without them, nothing.

    An interpreter that ends with the group still open now and then dies of it ("terminate called without an active
    exception"), as the threads that carry the messages are then torn down beside it.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
