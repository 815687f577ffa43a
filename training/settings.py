"""What a run is: every choice of it, checked, and as a TOML file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any, Literal

# Those that may change when a run goes on: they change no step that is done.
FREE = ("steps", "save_every", "sample_every", "cache", "gradient_checkpointing")


class RunError(ValueError):
    """A run that cannot start or go on. The message says what to change."""


@dataclass(frozen=True)
class Settings:
    """The choices of a run. Raises RunError for one that is out of its range.

    kind          "lora": low-rank additions, a few MB; "full": every weight of the UNet
    rank          of the additions; more holds more. 1 or more
    steps         updates of the weights
    batch_size    pairs in memory at once, 1 or more
    accumulate    batches to one update, 1 or more
    learning_rate of AdamW (betas 0.9 and 0.999, decay 0.01)
    schedule      of the rate after `warmup` steps: "constant", or "cosine" down to zero
    dropout       p: text from p of the samples, both from p, the picture from p. 0 to 1/3; at 0
                  the model has no branches for the two scales of guidance. 0 with `distill`
    resolution    training size in pixels; 0 takes the model's own
    flip          mirror half of the pairs; wrong for left, right and lettering
    keep          share of samples that the frozen model teaches, on other instructions for the same
                  pictures, so that it keeps what it knows. 0 to 1
    distill       learn the frozen model's prediction under guidance at text_cfg and image_cfg, so
                  that one evaluation does what took three: the result is sampled at 1 and 1
    ema           average the weights by `ema_decay`; the result is the average
    optimizer     "adamw", or "adamw8bit" (bitsandbytes)
    precision     "auto": bf16 on an accelerator, fp32 on the CPU
    gradient_checkpointing  compute activations twice instead of keeping them
    cache         encode every picture and text once, to disk; else anew at each step
    held_out      share of the source pictures that is not trained on, where the set names none
    sample_every  steps between sample pictures and held-out losses; 0: never
    save_every    steps between saved states; 0: at the end and when stopped
    seed          of all that is drawn
    text_cfg, image_cfg  the scales of the sample pictures, and those that `distill` teaches
    """

    kind: Literal["lora", "full"] = "lora"
    rank: int = 16
    steps: int = 1000
    batch_size: int = 4
    accumulate: int = 1
    learning_rate: float = 1e-4
    warmup: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    dropout: float = 0.05
    resolution: int = 0
    flip: bool = False
    keep: float = 0.0
    distill: bool = False
    ema: bool = True
    ema_decay: float = 0.9999
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    cache: bool = True
    held_out: float = 0.05
    sample_every: int = 500
    save_every: int = 500
    seed: int = 0
    text_cfg: float = 7.5
    image_cfg: float = 1.5

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise RunError(
                    f"{name}: got {getattr(self, name)!r}; choose one of {', '.join(choices)}."
                )
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise RunError(f"{name}: got {value}; it goes from {low:g} to {high:g}.")
        if self.resolution % 8 or 0 < self.resolution < 64:
            raise RunError(
                f"resolution: got {self.resolution}; a multiple of 8 from 64 on, or 0 for the "
                "model's own."
            )
        for name in ("dropout", "keep"):
            if self.distill and getattr(self, name):
                raise RunError(
                    f"{name}: got {getattr(self, name)}, with distill. The guided answer needs "
                    f"both conditions of every pair; set {name} to 0."
                )

    @property
    def scales(self) -> tuple[float, float]:
        """text_cfg and image_cfg at which what was learnt is sampled."""
        return (1.0, 1.0) if self.distill else (self.text_cfg, self.image_cfg)

    def rate(self, step: int) -> float:
        """The learning rate of `step`, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


CHOICES: dict[str, tuple[str, ...]] = {
    "kind": ("lora", "full"),
    "schedule": ("constant", "cosine"),
    "optimizer": ("adamw", "adamw8bit"),
    "precision": ("auto", "fp32", "bf16"),
}
RANGES: dict[str, tuple[float, float]] = {
    "rank": (1, 1024),
    "steps": (1, 10_000_000),
    "batch_size": (1, 4096),
    "accumulate": (1, 4096),
    "learning_rate": (0, 1),
    "warmup": (0, 1_000_000),
    "dropout": (0, 1 / 3),
    "resolution": (0, 4096),
    "keep": (0, 1),
    "ema_decay": (0, 1),
    "held_out": (0, 0.9),
    "sample_every": (0, 10_000_000),
    "save_every": (0, 10_000_000),
    "seed": (0, 2**64 - 1),
    "text_cfg": (0, 100),
    "image_cfg": (0, 100),
}


def settings_from(values: dict[str, Any]) -> Settings:
    """Settings from a file or a command. Raises RunError for a name or a type that is none."""
    kinds = {field.name: type(field.default) for field in fields(Settings)}
    for name, value in values.items():
        if name not in kinds:
            raise RunError(f"{name}: there is no such setting; there are {', '.join(kinds)}.")
        whole = kinds[name] is float and type(value) is int
        if type(value) is not kinds[name] and not whole:
            raise RunError(f"{name}: got {value!r}; expected {kinds[name].__name__}.")
    return Settings(**({"dropout": 0.0} if values.get("distill") else {}) | values)


def to_toml(values: dict[str, Any]) -> str:
    """Texts, numbers, truths and lists of them as TOML; its texts are written as JSON's are."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def from_toml(text: str) -> dict[str, Any]:
    """The values of a file that `to_toml` wrote, of all its tables."""
    lines = (line.partition(" = ") for line in text.splitlines())
    return {name: json.loads(value) for name, equals, value in lines if equals}


def check_same_run(old: dict[str, Any], new: dict[str, Any], place: object) -> None:
    """Raise RunError where a run would go on with other settings, pairs or another base."""
    for name, value in new.items():
        if name not in FREE and name in old and old[name] != value:
            raise RunError(
                f"{place} was started with {name} = {old[name]}, and this asks for {value}. Go on "
                "with the same, or name another run."
            )
