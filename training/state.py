"""The state of a run on disk: written whole under another name, then renamed; two are kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .settings import RunError

KEPT = 2


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a .safetensors file that has its name only when it is whole and on the disk.

    Raises RunError where the disk is full or not to be written; what lay there before stays.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        safetensors.torch.save_file(plain, part, metadata)
        part.chmod(0o644)  # safetensors makes it readable by its owner alone
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, safetensors.SafetensorError) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise RunError(
            f"{path} cannot be written ({error}). What was saved before is kept; free space on the "
            "disk and start the same run again."
        ) from error


def save_state(folder: Path, step: int, tensors: dict[str, Tensor]) -> None:
    """Keep the state after `step` steps, and of the older ones the last."""
    write_tensors(folder / f"step-{step:08d}.safetensors", tensors, {"step": str(step)})
    for old in _states(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def load_state(folder: Path) -> tuple[int, dict[str, Tensor]] | None:
    """The step and the tensors of the newest state, None where there is none."""
    states = _states(folder)
    if not states:
        return None
    newest = states[-1]
    try:
        with safetensors.safe_open(newest, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return int((file.metadata() or {})["step"]), tensors
    except (OSError, safetensors.SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            f"{newest} is not a state of a run ({error}). Delete it to go on from the one before."
        ) from error


def _states(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory as flat tensors, `adam.<number of the weight>.<name>`.

    Read from its state itself, since in its state_dict bitsandbytes nests what is quantised.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    return {
        # Weights share one table of quantised values, which a file cannot.
        f"adam.{number}.{name}": value.clone()
        if name.startswith("qmap")
        else torch.as_tensor(value)
        for number, weight in enumerate(weights)
        for name, value in optimizer.state.get(weight, {}).items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith("adam."):
            _, number, name = key.split(".", 2)
            # bitsandbytes counts its steps by a whole number, torch by a tensor.
            counted = tensor.ndim == 0 and not tensor.is_floating_point()
            state.setdefault(int(number), {})[name] = tensor.item() if counted else tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def named(prefix: str, names: Sequence[str], tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in zip(names, tensors, strict=True)}


@torch.no_grad()
def restore(
    prefix: str, names: Sequence[str], weights: Sequence[Tensor], tensors: dict[str, Tensor]
) -> None:
    """Copy what `named` packed back into `weights`."""
    for name, weight in zip(names, weights, strict=True):
        weight.copy_(tensors[f"{prefix}.{name}"])
