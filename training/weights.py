"""The weights that are learnt: which, how they are updated, and what they are in the end."""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from .adapt import FIRST_CONV, Average, Lora, LowRank, lora_file
from .network import PREFIX, Trainable, halve, save_memory
from .settings import RunError, Settings
from .state import named, pack_optimizer, restore, unpack_optimizer
from .step import Network
from .stream import generator

CONV_IN = FIRST_CONV.removesuffix(".weight")
CLIP_GRADIENTS = 1.0


class Weights:
    """What training changes in `net`: low-rank additions or the whole UNet, and their average.

    settings  of the run; `precision` is decided by now
    """

    def __init__(self, net: Trainable, settings: Settings, bf16: bool) -> None:
        self.net, self.settings = net, settings
        self.lora: Lora | None = None
        # The model as it was before the run, where it is needed.
        self.teacher: Network | None = None
        teaches = settings.keep > 0 or settings.distill
        unet = net.unet
        if settings.kind == "lora":
            learnt = self._add_lora(bf16)
            if teaches:
                self.teacher = self._without_lora
        else:
            # The base is needed again for the difference that is the result.
            self.base = {} if net.grown else {n: w.cpu() for n, w in _copies(unet).items()}
            learnt = dict(unet.named_parameters())
            if teaches:
                frozen = copy.deepcopy(unet).requires_grad_(False)
                if bf16:
                    halve(frozen)
                self.teacher = replace(net, unet=frozen)
        if settings.gradient_checkpointing:
            save_memory(unet)
        self.names, self.weights = list(learnt), list(learnt.values())
        self.average = Average(self.weights, settings.ema_decay) if settings.ema else None
        self.optimizer = _optimizer(self.weights, settings)

    def _add_lora(self, bf16: bool) -> dict[str, nn.Parameter]:
        unet, device = self.net.unet, self.net.alphas.device
        unet.requires_grad_(False)
        if bf16:
            halve(unet)
        full = [CONV_IN] if self.net.grown else []
        self.lora = Lora(unet, self.settings.rank, generator("lora", self.settings.seed), full)
        self.lora.to(device)
        learnt = {f"lora.{name}": p for name, p in self.lora.parts.named_parameters()}
        if self.net.grown:
            conv_in = unet.get_submodule(CONV_IN).float().requires_grad_(True)
            learnt |= {f"{CONV_IN}.{name}": p for name, p in conv_in.named_parameters()}
        return learnt

    def _without_lora(
        self, seen: Tensor, times: Tensor, text: Tensor, vector: Tensor | None
    ) -> Tensor:
        assert self.lora is not None
        with self.lora.switched_off():
            return self.net(seen, times, text, vector)

    def update(self, step: int) -> None:
        """One step of the optimizer and of the average."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate(step)
        torch.nn.utils.clip_grad_norm_(self.weights, CLIP_GRADIENTS)
        self.optimizer.step()
        if self.average:
            self.average.update(self.weights)

    def averaged(self) -> AbstractContextManager[None]:
        """A context in which the network has the averaged weights, if there are such."""
        return self.average.worn(self.weights) if self.average else nullcontext()

    # On the disk.

    def state(self) -> dict[str, Tensor]:
        tensors = named("weight", self.names, self.weights) | pack_optimizer(self.optimizer)
        if self.average:
            tensors |= named("average", self.names, self.average.weights)
            tensors["updates"] = torch.tensor(self.average.updates)
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        restore("weight", self.names, self.weights, tensors)
        unpack_optimizer(self.optimizer, tensors)
        if self.average:
            restore("average", self.names, self.average.weights, tensors)
            self.average.updates = int(tensors["updates"])

    # In the end.

    def lora_tensors(self) -> dict[str, Tensor]:
        """What was learnt in the format of ComfyUI's LoRA loader, {} for a base without pictures.

        Low-rank additions, or for a full run the differences of all weights.
        """
        if self.net.grown:
            return {}
        with self.averaged(), torch.no_grad():
            if self.lora is not None:
                return lora_file(dict(self.lora.parts.named_parameters()))
            found = {}
            for name, weight in self.net.unet.named_parameters():
                layer, _, kind = name.rpartition(".")
                suffix = {"weight": "diff", "bias": "diff_b"}[kind]
                found[f"{PREFIX}{layer}.{suffix}"] = weight.detach().cpu() - self.base[name]
            return found

    def unet_tensors(self) -> dict[str, Tensor]:
        """The whole UNet with what was learnt, in fp32 on the CPU."""
        with self.averaged(), torch.no_grad():
            tensors = {n: w.cpu().float() for n, w in _copies(self.net.unet).items()}
            for name, part in self.lora.parts.items() if self.lora is not None else ():
                assert isinstance(part, LowRank)
                key = f"{name.replace('/', '.')}.weight"
                added = part.up.detach().float().flatten(1) @ part.down.detach().float().flatten(1)
                tensors[key] += added.view(tensors[key].shape).cpu()
            return tensors


def _copies(unet: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in unet.state_dict().items()}


def _optimizer(weights: list[nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(weights, settings.learning_rate)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise RunError(
            "optimizer: adamw8bit is of bitsandbytes, which this Python does not have. Install it "
            "(pip install bitsandbytes), or use adamw."
        ) from error
    return AdamW8bit(weights, settings.learning_rate)
