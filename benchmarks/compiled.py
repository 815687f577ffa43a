"""What core's TorchCompileModel node does with our sampler: graphs, breaks, differences.

    python benchmarks/compiled.py                        the committed table, benchmarks/compiled.md
    python benchmarks/compiled.py --backend inductor     needs a C compiler, and minutes on a CPU

One graph for each number of branches and no break in any is the best that can be had. A random
network of Stable Diffusion's layout; runs follow one another in one process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import comfy.cli_args
import torch
import typer

comfy.cli_args.args.cpu = not torch.cuda.is_available()
comfy.cli_args.args.use_pytorch_cross_attention = True  # read when core is imported

from comfy_extras.nodes_torch_compile import TorchCompileModel  # noqa: E402
from instruct_pix2pix.samplers.control import Guidance  # noqa: E402
from instruct_pix2pix.samplers.reuse import Reuse  # noqa: E402
from sampler import Contestants  # noqa: E402
from torch._dynamo.utils import counters  # noqa: E402

RESULT = Path(__file__).with_suffix(".md")
EVERY_2 = Guidance(reuse=Reuse(2))
# What runs, in this order: three branches, two, one, what was seen before, two and three in turn.
RUNS: list[tuple[str, tuple[float, float], Guidance | None]] = [
    ("3 branches", (7.5, 1.5), None),
    ("2 branches", (7.5, 1.0), None),
    ("1 branch", (1.0, 1.0), None),
    ("3 branches again", (7.5, 1.5), None),
    ("3 and 2 in turn, by reuse", (7.5, 1.5), EVERY_2),
]


def table(contestants: Contestants, backend: str) -> list[str]:
    plain = contestants.model
    compiled = TorchCompileModel.execute(plain, backend)[0]
    rows = []
    for name, scales, guidance in RUNS:
        contestants.model = plain
        expected = contestants.ours(*scales, guidance)[0]["samples"]
        contestants.model = compiled
        graphs, breaks = counters["stats"]["unique_graphs"], counters["graph_break"].total()
        found = contestants.ours(*scales, guidance)[0]["samples"]
        graphs = counters["stats"]["unique_graphs"] - graphs
        breaks = counters["graph_break"].total() - breaks
        difference = ((found - expected).abs().max() / expected.abs().max()).item()
        rows.append(f"| {name} | {graphs} | {breaks} | {difference:.1e} |")
        print(rows[-1], flush=True)
    contestants.model = plain
    return [
        "| run | graphs compiled | graph breaks | largest difference, of the range |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
    ]


def main(
    backend: Annotated[str, typer.Option(help="Of torch.compile.")] = "eager",
    width: int = 32,
    size: int = 64,
    steps: int = 4,
    output: Path = RESULT,
) -> None:
    torch.set_grad_enabled(False)
    text = [
        "# Core's TorchCompileModel around our sampler",
        "",
        f"`python benchmarks/compiled.py --backend {backend} --width {width} --size {size} "
        f"--steps {steps}`, torch {torch.__version__}. The backend `eager` compiles nothing after "
        "the graphs are found, so it needs no compiler, and the differences are those of the "
        "graphs alone.",
        "",
        *table(Contestants(width, size, steps), backend),
    ]
    output.write_text("\n".join(text))


if __name__ == "__main__":
    typer.run(main)
