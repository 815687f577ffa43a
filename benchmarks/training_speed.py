"""Our training beside diffusers' script: samples a second, time to the first step, memory.

    pip install datasets      which that script needs
    python benchmarks/training_speed.py        the committed table, benchmarks/training_speed.md

The script is examples/instruct_pix2pix/train_instruct_pix2pix.py of diffusers, which its package
does not have: put it into runs/. It is run unchanged. Both train the same base on the same pairs,
with the paper's dropout, in fp32 on one thread of a CPU; each run is a process of its own, and they
take turns. Times are of the process's processor, so that a busy machine counts little.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import re
import shutil
import statistics
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

os.environ["HF_HUB_OFFLINE"] = "1"

import comfy.cli_args
import torch
import typer

comfy.cli_args.args.cpu = True

import comfy.sd1_clip  # noqa: E402
import diffusers  # noqa: E402
from finetune import training_pairs  # noqa: E402
from instruct_pix2pix.mini.evaluate import digest  # noqa: E402
from instruct_pix2pix.pairs.table import write_pairs  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).with_suffix(".md")
RUNS = ROOT / "runs" / "training_speed"
SCRIPT = ROOT / "runs" / "train_instruct_pix2pix.py"
PAIRS, SIDE, BATCH, STEPS = 24, 256, 4, 6
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Widths:
    """Channels of each level of UNet and first stage, and of the text."""

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    text: int

    def networks(self, channels: int) -> tuple[torch.nn.Module, torch.nn.Module]:
        """UNet and first stage in the layout of Stable Diffusion 1.x."""
        unet = diffusers.UNet2DConditionModel(
            in_channels=channels,
            block_out_channels=self.unet,
            cross_attention_dim=self.text,
            attention_head_dim=8,  # diffusers reads it as the count of heads here
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=self.vae,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        )
        return unet, vae


SD15 = Widths((320, 640, 1280, 1280), (128, 256, 512, 512), 768)
# In it the first stage has the share of a step that it has in Stable Diffusion 1.5.
NARROW = Widths((64, 128, 256, 256), (32, 64, 64, 64), 192)


def first_stage_share(widths: Widths, side: int) -> float:
    """Of the arithmetic of a step: two pictures encoded, the UNet forward and twice backward."""
    with torch.device("meta"), torch.no_grad():
        unet, vae = widths.networks(8)
        latent = torch.zeros(1, 8, side // 8, side // 8)
        text = torch.zeros(1, 77, widths.text)
        with FlopCounterMode(display=False) as learning:
            unet(latent, torch.zeros(1), text)
        with FlopCounterMode(display=False) as encoding:
            vae.encode(torch.zeros(1, 3, side, side))
    encoded, learned = 2 * encoding.get_total_flops(), 3 * learning.get_total_flops()
    return encoded / (encoded + learned)


def save_bases(folder: Path) -> None:
    """The same random weights twice: `base` takes 4 channels, `editor` 8, the new ones zero.

    The script makes the second from the first itself.
    """
    torch.manual_seed(0)
    unet, vae = NARROW.networks(4)
    config = CLIPTextConfig(
        hidden_size=NARROW.text,
        intermediate_size=4 * NARROW.text,
        num_hidden_layers=12,
        num_attention_heads=NARROW.text // 64,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        bos_token_id=49406,
        eos_token_id=49407,
    )
    parts = {
        "vae": vae,
        "text_encoder": CLIPTextModel(config),
        "tokenizer": CLIPTokenizer.from_pretrained(
            Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer"), model_max_length=77
        ),
        "scheduler": diffusers.DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            steps_offset=1,
        ),
        "safety_checker": None,
        "feature_extractor": None,
    }
    base = diffusers.StableDiffusionPipeline(
        unet=unet, requires_safety_checker=False, image_encoder=None, **parts
    )
    base.save_pretrained(folder / "base")
    editor, _ = NARROW.networks(8)
    weights = unet.state_dict()
    first = weights["conv_in.weight"]
    editor.load_state_dict(
        {**weights, "conv_in.weight": torch.cat([first, torch.zeros_like(first)], 1)}
    )
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
        unet=editor, requires_safety_checker=False, image_encoder=None, **parts
    )
    pipeline.save_pretrained(folder / "editor")


@dataclass
class Measured:
    """One run: its losses, CPU seconds to the first step and from there on, peak memory in GB."""

    losses: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    memory: float = 0.0

    @property
    def first(self) -> float:
        return self.seconds[1]

    @property
    def speed(self) -> float:
        """Samples a second, after the first step."""
        return BATCH * (STEPS - 1) / (self.seconds[STEPS] - self.seconds[1])

    @property
    def loss(self) -> float:
        return statistics.fmean(self.losses.values())


def followed(command: list[str], step: str, loss: str) -> Measured:
    """Run a program to its end, and read its progress from the terminal as it shows it.

    step, loss  patterns whose one group is the number of steps that are done, and their last loss
    """
    master, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 200))  # on one of no width tqdm shows nothing
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment, cwd=RUNS
    )
    os.close(terminal)
    found, shown = Measured(), ""
    while True:
        try:
            shown += os.read(master, 65536).decode("utf-8", "replace")
        except OSError:  # the last that wrote to the terminal has closed it
            break
        spent = cpu_seconds(process.pid)
        *lines, shown = re.split(r"[\r\n]", shown)
        for line in [*lines, shown]:
            if number := re.search(step, line):
                done = int(number[1])
                found.seconds.setdefault(done, spent)
                if value := re.search(loss, line):
                    found.losses[done] = float(value[1])
    os.close(master)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or STEPS not in found.seconds:
        raise SystemExit(f"{command[1]}: exit code {process.returncode}\n{lines}\n{shown}")
    found.memory = usage.ru_maxrss / 1e6
    return found


def cpu_seconds(process: int) -> float:
    """What a process has used of the processor, in user and system mode."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def theirs(script: Path) -> Measured:
    options = {
        "pretrained_model_name_or_path": RUNS / "base",
        "dataset_name": RUNS / "pairs",
        "cache_dir": RUNS / "datasets",
        "output_dir": RUNS / "theirs",
        "resolution": SIDE,
        "train_batch_size": BATCH,
        "max_train_steps": STEPS,
        "conditioning_dropout_prob": 0.05,
        "lr_warmup_steps": 0,
        "mixed_precision": "no",
        "seed": 0,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, str(script), *words]
    return followed(command, rf"(\d+)/{STEPS} \[", r"step_loss=([\d.]+)")


def ours(cache: bool) -> Measured:
    place = RUNS / ("cached" if cache else "live")
    shutil.rmtree(place, ignore_errors=True)
    settings = {
        "kind": "full",
        "batch_size": BATCH,
        "steps": STEPS,
        "resolution": SIDE,
        "learning_rate": 1e-4,
        "ema": False,
        "held_out": 0.0,
        "sample_every": 0,
        "save_every": 0,
        "cache": cache,
    }
    job = {
        "pairs": str(RUNS / "pairs"),
        "base": str(RUNS / "editor"),
        "output": str(place),
        "columns": {},
        "lessons": [],
        "settings": settings,
    }
    tree = Path(comfy.cli_args.__file__).parents[1]
    program = [str(ROOT / "headless" / "program.py"), str(tree), "training.command"]
    command = [sys.executable, *program, json.dumps(job), "--cpu"]
    return followed(command, rf"step (\d+)/{STEPS} ", r"loss ([\d.]+)")


def row(name: str, runs: list[Measured], peers: list[Measured]) -> str:
    """The medians of some runs; the ratio is that to the peer's run in the same turn."""
    ratio = statistics.median(o.speed / p.speed for o, p in zip(runs, peers, strict=True))
    speed, first, memory, loss = (
        statistics.median(getattr(one, what) for one in runs)
        for what in ("speed", "first", "memory", "loss")
    )
    return f"| {name} | {speed:.2f} | {ratio:.2f} | {first:.1f} | {memory:.2f} | {loss:.3f} |"


def main(
    rounds: int = 3,
    script: Annotated[Path, typer.Option(help="diffusers' train_instruct_pix2pix.py.")] = SCRIPT,
) -> None:
    if not script.is_file() or importlib.util.find_spec("datasets") is None:
        print(f"not measured: it needs {script} and the package datasets, see above its imports")
        return
    RUNS.mkdir(parents=True, exist_ok=True)
    save_bases(RUNS)
    pairs = training_pairs(SIDE)[:PAIRS]
    write_pairs(pairs, RUNS / "pairs")
    ways: dict[str, Callable[[], Measured]] = {
        "diffusers' script": lambda: theirs(script),
        "ours, `--no-cache`": lambda: ours(cache=False),
        "ours": lambda: ours(cache=True),
    }
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            found[name].append(run())
            print(name, found[name][-1], flush=True)
    peers = found["diffusers' script"]
    RESULT.write_text(
        "# Training beside diffusers' script\n\n"
        f"`python benchmarks/training_speed.py --rounds {rounds}`: the layout of Stable Diffusion "
        f"1.5 at a fifth of its width, random weights, all of them trained; {len(pairs)} pairs at "
        f"{SIDE} pixels, {STEPS} steps of {BATCH}, dropout 0.05, AdamW, fp32, one thread of a CPU. "
        f"diffusers {diffusers.__version__}, its train_instruct_pix2pix.py (SHA-256 "
        f"{digest(script)}) unchanged; torch {torch.__version__}. Medians of {rounds} runs in "
        "turns, each a process. "
        "Seconds are of the processor; those to the first step have start, loading and, for ours "
        "with its cache, the encoding of all pairs in them. Samples a second are of the steps "
        f"after it. The first stage has {first_stage_share(NARROW, SIDE):.0%} of the arithmetic of "
        f"a step, as it has in Stable Diffusion 1.5 ({first_stage_share(SD15, 2 * SIDE):.0%} at "
        f"{2 * SIDE} pixels). Noise and dropout are drawn differently, so the mean losses are not "
        "equal; those of one step on the same draws are (tests/training/test_step.py).\n\n"
        "| | samples a second | ratio | seconds to the first step | peak memory, GB | mean loss |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(row(name, runs, peers) for name, runs in found.items())
        + "\n"
    )


if __name__ == "__main__":
    typer.run(main)
