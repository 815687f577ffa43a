"""Which of several processes this is; `accelerate launch` and torchrun start them alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

import comfy.model_management
import torch
import torch.distributed
from torch import Tensor

T = TypeVar("T")


class Processes:
    """One process of `count`, on its own device, `rank` counted from 0."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.device = comfy.model_management.get_torch_device()
        if self.count > 1:
            if self.device.type == "cuda":
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(self.device)
            if not torch.distributed.is_initialized():
                backend = "nccl" if self.device.type == "cuda" else "gloo"
                torch.distributed.init_process_group(backend)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def add_up(self, gradients: Sequence[Tensor]) -> None:
        """Make each gradient the sum over all processes."""
        if self.count > 1:
            for gradient in gradients:
                torch.distributed.all_reduce(gradient)

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return here
        flag = torch.tensor([float(here)], device=self.device)
        torch.distributed.all_reduce(flag)
        return bool(flag.item())

    def first_alone(self, work: Callable[[], T]) -> T:
        """Let the first process do `work`, then the others, who find what it left on the disk."""
        if self.count > 1 and not self.first:
            torch.distributed.barrier()
        result = work()
        if self.count > 1 and self.first:
            torch.distributed.barrier()
        return result
