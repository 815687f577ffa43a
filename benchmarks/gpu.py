"""Where the time of an edit goes on a GPU, in ten minutes at most; runs without one, too.

    python benchmarks/gpu.py      on a GPU Stable Diffusion 1.5's width, else a tiny network

Random weights: only the time is of interest. A call of the network is either bound by its
arithmetic, and then each branch that is left out saves time, or by the host that launches its
kernels, and then only graphs (`cudagraphs`, `inductor`) do; kernel time beside wall time, and the
replay of a recorded graph, tell which. Each line is written as soon as it is known; what does not
fit the time is said to be left out.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import comfy.cli_args
import torch
import typer

comfy.cli_args.args.cpu = not torch.cuda.is_available()
comfy.cli_args.args.use_pytorch_cross_attention = True  # read when core is imported

import comfy.model_management  # noqa: E402
from comfy_extras.nodes_torch_compile import TorchCompileModel  # noqa: E402
from instruct_pix2pix.samplers.control import Guidance  # noqa: E402
from instruct_pix2pix.samplers.reuse import Reuse  # noqa: E402
from sampler import SCALES, TEXT_WIDTH, Contestants  # noqa: E402
from torch.autograd import DeviceType  # noqa: E402
from torch.profiler import profile  # noqa: E402

GPU = torch.cuda.is_available()
RESULT = Path(__file__).with_suffix(".md") if GPU else Path("runs/gpu.md")
BATCHES = 1, 2, 3, 6, 12
REUSES = {
    "off": None,
    **{f"image_every {every}": Reuse(every) for every in (2, 4, 8)},
    "fast": Reuse(),
}
Lines = Iterator[str]


def synchronize() -> None:
    if GPU:
        torch.cuda.synchronize()


def timed(work: Callable[[], Any], runs: int) -> float:
    """Milliseconds of `work`, the median of some runs after one that warms up."""
    taken = []
    for _ in range(runs + 1):
        synchronize()
        began = time.perf_counter()
        work()
        synchronize()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken[1:])


def kernels(work: Callable[[], Any]) -> tuple[int, float]:
    """How many kernels the GPU runs in `work`, and their milliseconds; none without a GPU."""
    with profile() as profiled:
        work()
        synchronize()
    ran = [event for event in profiled.events() if event.device_type == DeviceType.CUDA]
    return len(ran), sum(event.device_time for event in ran) / 1000


def replayed(work: Callable[[], Any], runs: int) -> str:
    """Milliseconds of `work` recorded as a CUDA graph."""
    if not GPU:
        return "-"
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.cuda.stream(stream):
        work()
    synchronize()
    with torch.cuda.graph(graph):
        work()
    return f"{timed(graph.replay, runs):.2f}"


class Bench:
    """The measurements at one size, each a generator of the lines of its table."""

    def __init__(self, width: int, size: int, steps: int, runs: int) -> None:
        self.size, self.steps, self.runs = size, steps, runs
        device = comfy.model_management.get_torch_device()
        self.dtype = torch.float16 if GPU else torch.float32
        self.contestants = Contestants(width, size, steps, str(device), self.dtype)
        self.device = device

    def calls(self) -> Lines:
        yield "| pictures in a call | wall ms | kernels | kernel ms | as a graph, ms |"
        yield "| --- | --- | --- | --- | --- |"
        self.contestants.ours(7.5, 1.5)  # ComfyUI puts the weights on the device
        unet = self.contestants.model.model.diffusion_model
        kind = next(unet.parameters()).dtype
        for batch in BATCHES:
            shape = batch, 8, self.size // 8, self.size // 8
            x = torch.zeros(shape, device=self.device, dtype=kind)
            t = torch.full((batch,), 500.0, device=self.device)
            words = torch.zeros(batch, 77, TEXT_WIDTH, device=self.device, dtype=kind)

            def call(x: Any = x, t: Any = t, words: Any = words) -> Any:
                return unet(x, t, words, transformer_options={})

            wall, (count, busy) = timed(call, self.runs), kernels(call)
            yield f"| {batch} | {wall:.2f} | {count} | {busy:.2f} | {replayed(call, self.runs)} |"

    def samplers(self) -> Lines:
        yield "| scales | sampler | ms a step |"
        yield "| --- | --- | --- |"
        for scales in SCALES:
            for name, edit in self.contestants.all().items():
                wall = timed(lambda e=edit, s=scales: e(*s), self.runs) / self.steps
                yield f"| {scales[0]:g} / {scales[1]:g} | {name} | {wall:.2f} |"

    def waits(self) -> Lines:
        """How often the host waits for the GPU in an edit; without a GPU nothing waits."""
        yield "| sampler | waits in an edit |"
        yield "| --- | --- |"
        for name, edit in self.contestants.all().items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                if GPU:
                    torch.cuda.set_sync_debug_mode("warn")
                try:
                    edit(7.5, 1.5)
                finally:
                    if GPU:
                        torch.cuda.set_sync_debug_mode("default")
            waits = sum("synchronizing" in str(one.message) for one in caught)
            yield f"| {name} | {waits} |"

    def reuse(self) -> Lines:
        yield "| reuse | ms a step | less time by |"
        yield "| --- | --- | --- |"
        off = 0.0
        for name, reuse in REUSES.items():
            guidance = Guidance(reuse=reuse)
            wall = timed(lambda g=guidance: self.contestants.ours(7.5, 1.5, g), self.runs)
            off = off or wall
            yield f"| {name} | {wall / self.steps:.2f} | {off / wall:.2f} |"

    def compiled(self, backend: str) -> Lines:
        yield f"| {backend} | first run, s | ms a step |"
        yield "| --- | --- | --- |"
        plain = self.contestants.model
        self.contestants.model = TorchCompileModel.execute(plain, backend)[0]
        ways = {
            "3 branches": lambda: self.contestants.ours(7.5, 1.5),
            "2 branches": lambda: self.contestants.ours(7.5, 1.0),
            "fast": lambda: self.contestants.ours(7.5, 1.5, Guidance(reuse=Reuse())),
        }
        try:
            for name, edit in ways.items():
                began = time.perf_counter()
                edit()
                synchronize()
                first = time.perf_counter() - began
                yield f"| {name} | {first:.1f} | {timed(edit, self.runs) / self.steps:.2f} |"
        finally:
            self.contestants.model = plain

    def compiled_diffusers(self, backend: str) -> Lines:
        yield f"| diffusers, {backend} | first run, s | ms a step |"
        yield "| --- | --- | --- |"
        pipeline = self.contestants.pipeline
        plain, pipeline.unet = pipeline.unet, torch.compile(pipeline.unet, backend=backend)
        try:
            began = time.perf_counter()
            self.contestants.diffusers(7.5, 1.5)
            synchronize()
            first = time.perf_counter() - began
            wall = timed(lambda: self.contestants.diffusers(7.5, 1.5), self.runs) / self.steps
            yield f"| 3 branches | {first:.1f} | {wall:.2f} |"
        finally:
            pipeline.unet = plain

    def profiled(self) -> Lines:
        """What an edit of ours spends its time with."""
        with profile() as seen:
            self.contestants.ours(7.5, 1.5)
            synchronize()
        by = "self_cuda_time_total" if GPU else "self_cpu_time_total"
        yield "```"
        yield from seen.key_averages().table(sort_by=by, row_limit=12).splitlines()
        yield "```"


def main(
    width: Annotated[int, typer.Option(help="Channels of the first level.")] = 320 if GPU else 32,
    sizes: Annotated[str, typer.Option(help="Sides of the picture in pixels.")] = "512 768"
    if GPU
    else "64",
    steps: int = 20 if GPU else 5,
    runs: Annotated[int, typer.Option(help="Runs to take the median of.")] = 3 if GPU else 1,
    backends: Annotated[str, typer.Option(help="Of torch.compile.")] = (
        "cudagraphs inductor" if GPU else ""
    ),
    minutes: Annotated[float, typer.Option(help="Nothing begins after that.")] = 8.0,
    output: Annotated[Path, typer.Option(help="Written line by line.")] = RESULT,
) -> None:
    torch.set_grad_enabled(False)
    end = time.monotonic() + 60 * minutes
    name = torch.cuda.get_device_name() if GPU else "no GPU: processor"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w", buffering=1) as file:

        def say(line: str = "") -> None:
            print(line, flush=True)
            file.write(line + "\n")

        say(f"# An edit on {name}")
        say()
        say(
            f"`python benchmarks/gpu.py --width {width} --sizes '{sizes}' --steps {steps} --runs "
            f"{runs} --backends '{backends}'`, torch {torch.__version__}."
        )
        for size in map(int, sizes.split()):
            bench = Bench(width, size, steps, runs)
            tables: dict[str, Callable[[], Lines]] = {
                "one call of the network": bench.calls,
                "ours, core, diffusers": bench.samplers,
                "waits": bench.waits,
                "reuse": bench.reuse,
                "profile": bench.profiled,
            }
            for backend in backends.split():
                tables[f"compiled, {backend}"] = lambda b=bench, k=backend: b.compiled(k)
                tables[f"diffusers compiled, {backend}"] = lambda b=bench, k=backend: (
                    b.compiled_diffusers(k)
                )
            for title, lines in tables.items():
                say()
                say(f"## {size} px, {bench.dtype}: {title}")
                say()
                try:
                    for line in lines():
                        say(line)
                        if time.monotonic() > end:
                            say(f"\nThe rest is left out: {minutes:g} minutes are over.")
                            return
                except RuntimeError as error:  # out of memory, or a backend that is not there
                    say(f"\nFailed: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    typer.run(main)
