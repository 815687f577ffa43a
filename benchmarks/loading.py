"""Load time and memory of checkpoints of real width: core's loader beside ours.

    python benchmarks/loading.py [FOLDER]      the committed table, benchmarks/loading.md

The files have the names, shapes and layout of real ones and random numbers; FOLDER (default
runs/loading) needs 23 GB on disk, and the machine 16 GB of memory free. Each load is a process of
its own, on the CPU, with the file in the page cache, ours and core's in turn. Memory is anonymous
memory (RssAnon), which the machine cannot take back, read every 5 ms: pages of a mapped file are
not in it. SDXL is loaded as with --fp16-unet --fp16-text-enc: in float32, as is usual on a CPU, it
needs 14 GB.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).with_suffix(".md")
RUNS = 3

PRELUDE = """
import os, sys, threading, time, types
pack = types.ModuleType("instruct_pix2pix")
pack.__path__ = [{root!r}]
sys.modules["instruct_pix2pix"] = pack
import comfy.cli_args
comfy.cli_args.args.cpu = True
comfy.cli_args.args.fp16_unet = comfy.cli_args.args.fp16_text_enc = {half}
"""
LOAD = """
from pathlib import Path
import comfy.sd, torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint

def anonymous():
    with open("/proc/self/status") as status:
        kib = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    return kib * 1024 / 1e9

peak, done = [0.0], threading.Event()

def watch():
    while not done.wait(0.005):
        peak[0] = max(peak[0], anonymous())

path = {path!r}
before = anonymous()
thread = threading.Thread(target=watch)
thread.start()
started = time.perf_counter()
with torch.inference_mode():
    if {ours}:
        parts = load_checkpoint(Path(path))
    else:
        parts = comfy.sd.load_checkpoint_guess_config(path)
seconds = time.perf_counter() - started
done.set()
thread.join()
print(seconds, peak[0] - before, anonymous() - before)
"""


def weights(family: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a whole single file of real width."""
    import torch
    from comfy.ldm.models.autoencoder import AutoencoderKL
    from instruct_pix2pix.checkpoints import families
    from instruct_pix2pix.checkpoints.core_class import core_class

    known: Any = getattr(families, family)
    kind: Any = core_class(known)
    meta = torch.device("meta")
    settings = {
        **kind.unet_config,
        **known.blocks,
        "image_size": 32,
        "out_channels": 4,
        "use_spatial_transformer": True,
        "legacy": False,
        "num_classes": "sequential" if kind.unet_config["adm_in_channels"] else None,
    }
    config = kind(settings)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=meta)
    for name, tensor in model.diffusion_model.state_dict().items():
        yield f"model.diffusion_model.{name}", tuple(tensor.shape)
    vae = {
        **{"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3},
        **{"ch": 128, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": []},
        "dropout": 0.0,
    }
    for name, tensor in AutoencoderKL(ddconfig=vae, embed_dim=4).state_dict().items():
        yield f"first_stage_model.{name}", tuple(tensor.shape)
    clip = config.clip_target({}).clip(device="meta", dtype=torch.float32)
    zeros = {k: v.half() for k, v in clip.to_empty(device="cpu").state_dict().items()}
    for name, tensor in config.process_clip_state_dict_for_saving(zeros).items():
        if not name.endswith("logit_scale"):
            yield name, tuple(tensor.shape)


def write_safetensors(path: Path, named: dict[str, tuple[int, ...]], dtype: str) -> None:
    """A file of random numbers of about 0.02, streamed: it is never in memory whole."""
    import numpy as np

    numbers = np.random.default_rng(0).normal(0, 0.02, 1 << 22).astype(dtype).tobytes()
    size, header, end = np.dtype(dtype).itemsize, {}, 0
    for name, shape in named.items():
        start, end = end, end + size * int(np.prod(shape))
        code = {"float32": "F32", "float16": "F16"}[dtype]
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        while end:
            end -= file.write(numbers[: min(end, len(numbers))])


def write_files(folder: Path) -> list[tuple[str, Path, bool]]:
    """Title, place, and whether it is loaded in half precision."""
    import safetensors
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    sd15 = dict(weights("SD15"))
    unet = [name for name in sd15 if name.startswith("model.")]
    average = {"model_ema." + n.removeprefix("model.").replace(".", ""): sd15[n] for n in unet}
    authors, mapped = folder / "authors.safetensors", {}
    if not authors.exists():
        write_safetensors(authors, sd15 | average, "float32")
    lightning, pruned = folder / "authors.ckpt", folder / "pruned.safetensors"
    if not lightning.exists():
        with safetensors.safe_open(authors, framework="pt") as file:
            mapped = {name: file.get_tensor(name) for name in file.keys()}
        torch.save({"epoch": 0, "global_step": 22000, "state_dict": mapped}, lightning)
    if not pruned.exists():
        write_safetensors(pruned, sd15, "float16")
    sdxl = folder / "sdxl.safetensors"
    if not sdxl.exists():
        write_safetensors(sdxl, dict(weights("SDXL")), "float16")
    return [
        ("SD 1.5, raw and EMA in float32, .safetensors", authors, False),
        ("SD 1.5, raw and EMA in float32, .ckpt", lightning, False),
        ("SD 1.5, float16, .safetensors", pruned, False),
        ("SDXL, float16, .safetensors", sdxl, True),
    ]


def measured(path: Path, half: bool, ours: bool) -> tuple[float, float, float]:
    """Seconds, and GB of anonymous memory at the peak and after the load."""
    code = (PRELUDE + LOAD).format(root=str(ROOT), path=str(path), half=half, ours=ours)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, peak, after = (float(number) for number in done.stdout.split()[-3:])
    return seconds, peak, after


def main() -> None:
    exec(PRELUDE.format(root=str(ROOT), half=False), {})  # noqa: S102  (what each process begins with)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runs" / "loading"
    rows = []
    for title, path, half in write_files(folder):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass
        runs: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
        for _ in range(RUNS):
            for ours in (False, True):
                runs[ours].append(measured(path, half, ours))
        size = path.stat().st_size / 1e9
        for ours, found in runs.items():
            seconds, peak, after = (statistics.median(each) for each in zip(*found, strict=True))
            who = "ours" if ours else "core"
            rows.append(
                f"| {title}, {size:.1f} GB | {who} | {seconds:.1f} | {peak:.1f} | {after:.1f} |"
            )
            print(rows[-1], flush=True)
    text = (
        "# Loading a checkpoint of real width\n\n"
        f"`python benchmarks/loading.py`, median of {RUNS} processes each, ours and core's in "
        "turn, SDXL in half precision.\nRandom numbers in the layout of real files, from the page "
        f"cache, on a {platform.machine()} CPU. Memory is\nanonymous memory in GB beyond the "
        "process before the load. Core takes the raw weights of the authors' file,\nours the EMA "
        "weights.\n\n"
        "| file | loader | s | peak GB | GB after |\n| --- | --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )
    RESULT.write_text(text)


if __name__ == "__main__":
    main()
