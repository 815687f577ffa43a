"""What several of these programs count: the pictures that go through a network."""

from __future__ import annotations

from typing import Any

import torch


class Counted:
    """A clone of a model, and how many pictures have gone through its network."""

    def __init__(self, model: Any) -> None:
        self.seen = 0
        self.model = model.clone()

        # A plain function: ComfyUI copies patched models, and a method with all that it belongs to.
        def count(apply_model: Any, args: dict[str, Any]) -> torch.Tensor:
            self.seen += len(args["input"])
            return apply_model(args["input"], args["timestep"], **args["c"])

        self.model.set_model_unet_function_wrapper(count)
