"""The command `ip2p train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..edits.presets import PRESETS
from .errors import InputError
from .options import JsonOption, report
from .options import pairs as named_values

SETTINGS = (
    *("kind", "rank", "steps", "batch_size", "accumulate", "learning_rate", "schedule"),
    *("warmup", "resolution", "dropout", "keep", "distill", "text_cfg", "image_cfg"),
    *("flip", "precision", "optimizer"),
    *("gradient_checkpointing", "cache", "ema", "held_out", "sample_every", "save_every", "seed"),
)


# The options, as the settings of a run are called.
PairsArgument = Annotated[
    Path,
    typer.Argument(
        help="Training pairs: seeds.json and its folders; a .parquet, .jsonl or .csv; two "
        "folders before/ and after/; a saved datasets folder; or the results of ip2p batch."
    ),
]
BaseOption = Annotated[
    str,
    typer.Option("--from", help="A checkpoint: an editor, a text-to-image model, or ip2p-mini."),
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="The folder of the run.")]
ConfigOption = Annotated[
    Path | None, typer.Option(help="A .toml with any of the options below; options win.")
]
Kind = Annotated[
    str | None, typer.Option(help="lora: a few MB; full: all weights. lora by default.")
]
Rank = Annotated[int | None, typer.Option(help="Of the LoRA. 16 by default.")]
Steps = Annotated[int | None, typer.Option(help="Updates. 1000 by default.")]
BatchSize = Annotated[int | None, typer.Option(help="Pairs at once. 4 by default.")]
Accumulate = Annotated[int | None, typer.Option(help="Batches to one update. 1 by default.")]
LearningRate = Annotated[float | None, typer.Option(help="0.0001 by default.")]
Schedule = Annotated[
    str | None, typer.Option(help="constant, or cosine down to 0. constant by default.")
]
Warmup = Annotated[int | None, typer.Option(help="Steps up to the learning rate. 0 by default.")]
Resolution = Annotated[int | None, typer.Option(help="Pixels; the model's own by default.")]
Dropout = Annotated[
    float | None,
    typer.Option(help="Share that loses text, picture, both: each. 0.05 by default."),
]
Keep = Annotated[
    float | None,
    typer.Option(help="Share taught by the frozen model, so that it forgets less. 0 by default."),
]
KeepFile = Annotated[
    Path | None,
    typer.Option(help="What the frozen model is asked, a line each; the presets by default."),
]
Distill = Annotated[
    bool | None,
    typer.Option(
        "--distill", help="Learn the guided answer: the result needs one evaluation a step."
    ),
]
TextCfg = Annotated[
    float | None,
    typer.Option(help="Of the sample pictures and of --distill; the model's usual by default."),
]
ImageCfg = Annotated[float | None, typer.Option(help="Likewise.")]
Flip = Annotated[bool | None, typer.Option("--flip", help="Mirror half of the pairs.")]
Precision = Annotated[
    str | None, typer.Option(help="bf16, fp32 or auto (fp32 on a CPU). auto by default.")
]
Optimizer = Annotated[str | None, typer.Option(help="adamw or adamw8bit. adamw by default.")]
GradientCheckpointing = Annotated[
    bool | None,
    typer.Option("--gradient-checkpointing", help="Less memory, a third more time."),
]
Cache = Annotated[
    bool | None,
    typer.Option("--cache/--no-cache", help="Encode pictures once, to disk. --cache by default."),
]
Averaged = Annotated[
    bool | None, typer.Option("--ema/--no-ema", help="Average the weights. --ema by default.")
]
HeldOut = Annotated[
    float | None, typer.Option(help="Share of pictures not trained on. 0.05 by default.")
]
SampleEvery = Annotated[
    int | None, typer.Option(help="Steps between sample pictures. 500 by default.")
]
SaveEvery = Annotated[int | None, typer.Option(help="Steps between saved states. 500 by default.")]
Seed = Annotated[int | None, typer.Option(help="Of all that is drawn. 0 by default.")]
Column = Annotated[
    list[str] | None,
    typer.Option(help='A column of a table: "source=NAME", target, instruction, ...'),
]
Processes = Annotated[int, typer.Option(help="One for each GPU.", min=1)]


def train(
    pairs: PairsArgument,
    base: BaseOption,
    output: OutputOption,
    config: ConfigOption = None,
    kind: Kind = None,
    rank: Rank = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    accumulate: Accumulate = None,
    learning_rate: LearningRate = None,
    schedule: Schedule = None,
    warmup: Warmup = None,
    resolution: Resolution = None,
    dropout: Dropout = None,
    keep: Keep = None,
    keep_file: KeepFile = None,
    distill: Distill = None,
    text_cfg: TextCfg = None,
    image_cfg: ImageCfg = None,
    flip: Flip = None,
    precision: Precision = None,
    optimizer: Optimizer = None,
    gradient_checkpointing: GradientCheckpointing = None,
    cache: Cache = None,
    ema: Averaged = None,
    held_out: HeldOut = None,
    sample_every: SampleEvery = None,
    save_every: SaveEvery = None,
    seed: Seed = None,
    column: Column = None,
    processes: Processes = 1,
    as_json: JsonOption = False,
) -> None:
    """Train your own editor on your pairs. The same command goes on with a run that was stopped.

    ip2p train pairs/ --from instruct-pix2pix.safetensors -o runs/snow
    """
    chosen = locals()
    given = {name: chosen[name] for name in SETTINGS if chosen[name] is not None}
    job = {
        "pairs": str(pairs),
        "base": base,
        "output": str(output),
        "columns": named_values(column),
        "lessons": lessons(keep_file),
        "settings": {**(read_toml(config) if config else {}), **given},
    }
    from .server import find_comfyui, needs_cpu_flag
    from .torch_side import run_program

    cpu = ["--cpu"] if needs_cpu_flag(find_comfyui().python) else []
    told = run_program("training.command", [json.dumps(job), *cpu], processes)
    report(as_json, {"run": str(output), "told": told.splitlines()}, told.rstrip())


def lessons(path: Path | None) -> list[str]:
    """What the frozen model is asked where it teaches: the lines of a file, else the presets."""
    if path is None:
        return [preset.instruction() for preset in PRESETS.values()]
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--keep-file {path}: cannot be read ({error})") from None
    return [line for line in lines if line]


def read_toml(path: Path) -> dict[str, Any]:
    """The options in a file; the run.toml of another run will do."""
    try:
        import tomllib
    except ImportError:
        raise InputError("--config: needs Python 3.11 or newer; give the options") from None
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"--config {path}: cannot be read ({error})") from None
    values.pop("made_from", None)  # what another run was made from is not asked of this one
    return {name.replace("-", "_"): value for name, value in values.items()}
