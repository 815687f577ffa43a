"""How often a sampling step waits for the device: core's graph beside ours.

    python benchmarks/host_syncs.py      the committed table, benchmarks/host_syncs.md

Each read of a tensor by the host (item, tolist, bool, float, int, numpy, equal) waits on a GPU for
all work before it. Counted on a CPU, where the same code runs: Euler ancestral at 7.5/1.5 on
ip2p-mini, 20 steps less 10, by ten. Reads of what was copied to the host without waiting do not
wait, and are not counted.
"""

from __future__ import annotations

import collections
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
pack = types.ModuleType("instruct_pix2pix")
pack.__path__ = [str(ROOT)]
sys.modules["instruct_pix2pix"] = pack

import comfy.cli_args  # noqa: E402
import torch  # noqa: E402

comfy.cli_args.args.cpu = True

import node_helpers  # noqa: E402
from comfy_extras.nodes_custom_sampler import (  # noqa: E402
    BasicScheduler,
    DualCFGGuider,
    KSamplerSelect,
    RandomNoise,
    SamplerCustomAdvanced,
)
from instruct_pix2pix.checkpoints.loading import load_checkpoint  # noqa: E402
from instruct_pix2pix.nodes.sampling import IP2PGuider  # noqa: E402
from instruct_pix2pix.samplers.comfy.text import encode_instruction  # noqa: E402
from instruct_pix2pix.samplers.control import Guidance, Schedule  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

RESULT = Path(__file__).with_suffix(".md")
READS = {
    *(torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, torch.equal),
    *(torch.Tensor.__bool__, torch.Tensor.__float__, torch.Tensor.__int__),
}
REGION = Guidance(text=Schedule(outside=0.2), region=torch.ones(1, 64, 64).tril())
SCHEDULE = Guidance(text=Schedule(curve="cosine", final=0.5))


class Reads(TorchFunctionMode):
    """Counts reads by the host, by the file that reads."""

    def __init__(self) -> None:
        super().__init__()
        self.by_file: collections.Counter[str] = collections.Counter()
        self.on_host: list[torch.Tensor] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch.Tensor.copy_ and (kwargs or {}).get("non_blocking"):
            self.on_host.append(args[0])
        elif function in READS and not any(args[0] is copied for copied in self.on_host):
            self.by_file[Path(sys._getframe(1).f_code.co_filename).name] += 1
        return function(*args, **(kwargs or {}))


def main() -> None:
    loaded = load_checkpoint(ROOT / "mini" / "ip2p-mini.safetensors")
    model = loaded.model
    pixels = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    source = {"samples": loaded.vae.encode(pixels)}
    instruction, negative = encode_instruction(loaded.clip, "make it snow", "")
    picture = {"concat_latent_image": source["samples"]}
    pair = [node_helpers.conditioning_set_values(c, picture) for c in (instruction, negative)]

    def core() -> Any:
        return DualCFGGuider.execute(model, *pair, negative, 7.5, 1.5, "regular")[0]

    def ours(guidance: Guidance | None) -> Callable[[], Any]:
        return lambda: IP2PGuider.execute(model, instruction, negative, source, 7.5, 1.5, guidance)[
            0
        ]

    def reads(guider: Callable[[], Any], steps: int) -> collections.Counter[str]:
        sigmas = BasicScheduler.execute(model, "normal", steps, 1.0)[0]
        latent = {"samples": torch.zeros_like(source["samples"])}
        sampler, noise = KSamplerSelect.execute("euler_ancestral")[0], RandomNoise.execute(0)[0]
        made = guider()
        with Reads() as counted:
            SamplerCustomAdvanced.execute(noise, made, sampler, sigmas, latent)
        return counted.by_file

    rows = [
        ("core, DualCFGGuider", core),
        ("ours", ours(None)),
        ("ours, a region", ours(REGION)),
        ("ours, a schedule", ours(SCHEDULE)),
    ]
    lines = [
        "# How often a sampling step waits for the device",
        "",
        "`python benchmarks/host_syncs.py`. Reads of a tensor by the host, Euler ancestral at "
        "7.5/1.5 on ip2p-mini;",
        "20 steps less 10, by ten. On a GPU each read waits for all work before it. A schedule "
        "needs one: it asks",
        "the sampler's noise level for its step.",
        "",
        "| | reads a step | in a run of 20 steps |",
        "| --- | --- | --- |",
    ]
    for name, guider in rows:
        reads(guider, 2)  # what is loaded once
        few, many = reads(guider, 10), reads(guider, 20)
        each = (many.total() - few.total()) / 10
        print(name, dict(many))
        lines.append(f"| {name} | {each:.2f} | {many.total()} |")
    RESULT.write_text("\n".join(lines) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    with torch.inference_mode():
        main()
