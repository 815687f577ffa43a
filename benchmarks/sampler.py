"""One edit by our sampler, by ComfyUI's own graph and by diffusers' pipeline, on the same weights.

    make bench                                  the committed table, benchmarks/sampler.md
    python benchmarks/sampler.py --width 320    Stable Diffusion 1.5's own width (7 GB of memory)

The three take turns in one process; a figure is the median of the runs and a ratio is the median
of the ratios within each turn. On a CPU the time is the processor's, so that a busy machine counts
little. Memory is measured apart, each in a process of its own.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import comfy.cli_args
import torch
import typer

comfy.cli_args.args.cpu = not torch.cuda.is_available()
# As `ip2p` starts its own server; diffusers has this attention, and samplers are to be compared.
comfy.cli_args.args.use_pytorch_cross_attention = True

import comfy.sd  # noqa: E402  (reads the line above)
import comfy.utils  # noqa: E402
import diffusers  # noqa: E402
import node_helpers  # noqa: E402
from comfy_extras import nodes_custom_sampler as core_nodes  # noqa: E402
from instruct_pix2pix.checkpoints.families import SD15  # noqa: E402
from instruct_pix2pix.checkpoints.layouts import Parts  # noqa: E402
from instruct_pix2pix.checkpoints.models import build_model  # noqa: E402
from instruct_pix2pix.nodes.sampling import IP2PKSampler  # noqa: E402
from instruct_pix2pix.samplers.control import Guidance  # noqa: E402

# The block layout of Stable Diffusion 1.x, in the words of ComfyUI's key table.
LAYOUT = {
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1] * 9 + [0] * 3,
    "transformer_depth_middle": 1,
}
TEXT_WIDTH = 768
clock = time.perf_counter if torch.cuda.is_available() else time.process_time
RESULT = Path(__file__).with_suffix(".md")
SCALES = [(7.5, 1.5), (7.5, 1.0), (5.0, 5.0)]
Edit = Callable[[float, float], Any]


def network(width: int) -> diffusers.UNet2DConditionModel:
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        in_channels=8,
        block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
    ).eval()


class Contestants:
    """The three ways to run one edit of `steps` steps on one random network.

    device, dtype  of diffusers' pipeline; ComfyUI chooses its own
    """

    def __init__(
        self,
        width: int,
        size: int,
        steps: int,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.unet = network(width)
        names = comfy.utils.unet_to_diffusers(LAYOUT)
        weights = {names[key]: value for key, value in self.unet.state_dict().items()}
        self.model = build_model(Parts(SD15, weights, {}, ({},), 512), "benchmark")
        self.steps = steps
        torch.manual_seed(1)
        self.picture = 5.5 * torch.randn(1, 4, size // 8, size // 8)
        self.text, self.nothing = torch.randn(2, 1, 77, TEXT_WIDTH)
        self.pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
            vae=diffusers.AutoencoderKL(block_out_channels=(32,) * 4, layers_per_block=1),
            text_encoder=None,
            tokenizer=None,
            unet=self.unet,
            scheduler=diffusers.EulerAncestralDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                timestep_spacing="linspace",
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.to(device, dtype)

    def ours(self, text_cfg: float, image_cfg: float, guidance: Guidance | None = None) -> Any:
        conds = [[self.text, {}]], [[self.nothing, {}]]
        settings = dict(steps=self.steps, text_cfg=text_cfg, image_cfg=image_cfg)
        source = {"samples": self.picture}
        return IP2PKSampler.execute(self.model, *conds, source, guidance=guidance, **settings)

    def core(self, text_cfg: float, image_cfg: float) -> Any:
        picture = {"concat_latent_image": self.picture}
        text, nothing = [[self.text, {}]], [[self.nothing, {}]]
        return core_nodes.SamplerCustomAdvanced.execute(
            core_nodes.RandomNoise.execute(0)[0],
            core_nodes.DualCFGGuider.execute(
                self.model,
                node_helpers.conditioning_set_values(text, picture),
                node_helpers.conditioning_set_values(nothing, picture),
                nothing,
                text_cfg,
                image_cfg,
                "regular",
            )[0],
            core_nodes.KSamplerSelect.execute("euler_ancestral")[0],
            core_nodes.BasicScheduler.execute(self.model, "normal", self.steps, 1.0)[0],
            {"samples": torch.zeros_like(self.picture)},
        )

    def diffusers(self, text_cfg: float, image_cfg: float) -> Any:
        # The pipeline casts its embeddings and leaves a latent as it is.
        return self.pipeline(
            image=self.picture.to(self.pipeline.device, self.unet.dtype),
            prompt_embeds=self.text.to(self.pipeline.device),
            negative_prompt_embeds=self.nothing.to(self.pipeline.device),
            num_inference_steps=self.steps,
            guidance_scale=text_cfg,
            image_guidance_scale=image_cfg,
            generator=torch.Generator("cpu").manual_seed(0),
            output_type="latent",
        )

    def all(self) -> dict[str, Edit]:
        return {"ours": self.ours, "core graph": self.core, "diffusers": self.diffusers}


class Stopwatch:
    """Seconds spent inside a network, by hooks on it."""

    def __init__(self, *networks: torch.nn.Module) -> None:
        self.seconds = 0.0
        for net in networks:
            net.register_forward_pre_hook(self.start)
            net.register_forward_hook(self.stop)

    def start(self, *_: Any) -> None:
        self.started = clock()

    def stop(self, *_: Any) -> None:
        self.seconds += clock() - self.started


def race(contestants: Contestants, text_cfg: float, image_cfg: float, runs: int) -> list[str]:
    """Rows of the table for one pair of scales."""
    watch = Stopwatch(contestants.unet, contestants.model.model.diffusion_model)
    totals: dict[str, list[float]] = {name: [] for name in contestants.all()}
    outside: dict[str, list[float]] = {name: [] for name in contestants.all()}
    for run in range(runs + 1):
        for name, edit in contestants.all().items():
            watch.seconds, began = 0.0, clock()
            edit(text_cfg, image_cfg)
            total = clock() - began
            if run:  # the first turn warms up
                totals[name].append(total)
                outside[name].append((total - watch.seconds) / total)
    rows = []
    for name in totals:
        of_core, of_diffusers = (
            statistics.median(a / b for a, b in zip(totals[name], totals[other], strict=True))
            for other in ("core graph", "diffusers")
        )
        rows.append(
            f"| {text_cfg} / {image_cfg} | {name} | "
            f"{1000 * statistics.median(totals[name]) / contestants.steps:.1f} | "
            f"{of_core:.3f} | {of_diffusers:.3f} | "
            f"{100 * statistics.median(outside[name]):.1f} % |"
        )
    return rows


def peak_memory(edit: Edit) -> float:
    """MB that one edit needs at its peak, above what is resident before it (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = resident("VmRSS")
    edit(7.5, 1.5)
    return resident("VmHWM") - before


def resident(name: str) -> float:
    """A memory figure of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def memory_apart(name: str, options: list[str]) -> float:
    """`peak_memory` of one contestant in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name, *options]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output.strip().splitlines()[-1])


def main(
    width: Annotated[int, typer.Option(help="Channels of the first level; SD 1.5 has 320.")] = 64,
    size: Annotated[int, typer.Option(help="Side of the picture in pixels.")] = 192,
    steps: int = 5,
    runs: Annotated[int, typer.Option(help="Turns to take the median of.")] = 3,
    output: Path = RESULT,
    memory_of: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    torch.set_grad_enabled(False)
    contestants = Contestants(width, size, steps)
    if memory_of:
        print(peak_memory(contestants.all()[memory_of]))
        return
    rows = [row for scales in SCALES for row in race(contestants, *scales, runs)]
    options = ["--width", str(width), "--size", str(size), "--steps", str(steps)]
    memory = {name: memory_apart(name, options) for name in contestants.all()}
    parameters = sum(p.numel() for p in contestants.unet.parameters()) / 1e6
    text = [
        "# Our sampler, core's graph and diffusers, on the same weights",
        "",
        f"`python benchmarks/sampler.py {' '.join(options)} --runs {runs}`: a random UNet of "
        f"{parameters:.0f} M parameters in float32, {size} x {size} pixels, {steps} steps of "
        f"euler_ancestral, PyTorch's attention, median of {runs} turns; torch "
        f"{torch.__version__} with {torch.get_num_threads()} threads on {platform.machine()}.",
        "",
        "| scales | sampler | ms a step | of core's time | of diffusers' time | outside the UNet |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "| peak memory above the loaded model | MB | of core's |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {mb:.0f} | {mb / memory['core graph']:.3f} |"
            for name, mb in memory.items()
        ),
        "",
    ]
    output.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    typer.run(main)
