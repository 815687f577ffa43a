"""The program behind `ip2p train`, in ComfyUI's Python: `command.py JOB`, a JSON object.

Its standard error is the live line, its standard output what was made.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from comfy.cli_args import args as comfyui

from ..pairs.checks import examine, split_pairs
from ..pairs.layouts import read_pairs
from ..pairs.pair import Pair

WRONG_INPUT = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", help="the job as JSON")
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    comfyui.cpu = given.cpu
    try:
        train(json.loads(given.job))
    except ValueError as error:
        print(error)
        return WRONG_INPUT
    return 0


def train(job: dict[str, Any]) -> None:
    """Make or continue the run that `job` describes.

    pairs, base, output, columns, lessons   of the command line
    settings                                what was given of Settings
    """
    # After the flag above is set, since these look for a device.
    from .base import load_base
    from .cache import Texts
    from .result import write_result
    from .run import Run
    from .settings import settings_from

    line = Line()
    base = load_base(job["base"])
    scales = {"text_cfg": base.text_cfg, "image_cfg": base.image_cfg}
    settings = settings_from(scales | job["settings"])
    settings = replace(settings, resolution=settings.resolution or base.resolution)
    folder, first = Path(job["output"]), os.environ.get("RANK", "0") == "0"
    texts = Texts(base.clip)
    pairs = usable(Path(job["pairs"]), job["columns"], folder, settings.resolution, texts, line)
    trained, held_out = split_pairs(pairs, settings.held_out)
    line.say(f"{len(trained)} pairs to train on, {len(held_out)} held out")

    def preparing(done: int, of: int) -> None:
        line.say(f"encoding {done} of {of} pairs", stays=done == of)

    run = Run(
        folder,
        settings,
        base.model,
        base.clip,
        base.vae,
        trained,
        held_out,
        job["lessons"],
        preparing,
    )

    def stop(*_: object) -> None:
        run.stopped = True
        line.say("stopping after this step; the same command goes on")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if run.step:
        line.say(f"going on after step {run.step}")
    run.train(follower(folder, line))
    if run.stopped and run.step < settings.steps:
        print(f"stopped after step {run.step} of {settings.steps}; the same command goes on")
    elif first:
        print(
            write_result(folder, run.weights, base.model, base.clip, base.vae, settings.resolution)
        )


def usable(
    place: Path, columns: dict[str, str], folder: Path, resolution: int, texts: Any, line: Line
) -> list[Pair]:
    """The pairs that can be used. What was found before is not looked at again."""
    pairs = read_pairs(place, columns)
    known = folder / "checked.json"
    stamps = [pair.source.stamp + pair.target.stamp for pair in pairs if pair.instruction]
    if known.is_file():
        found = json.loads(known.read_text("utf-8"))
        if found["stamps"] == stamps:
            left_out = set(found["left_out"])
            return [pair for pair in pairs if pair.name not in left_out]
    report = examine(pairs, texts.count_tokens)
    for sentence in report.lines(resolution):
        line.say(sentence)
    if not report.pairs:
        raise ValueError(f"{place}: not one of its {len(pairs)} pairs can be used.")
    folder.mkdir(parents=True, exist_ok=True)
    found = {"stamps": stamps, "left_out": list(report.faults)}
    known.write_text(json.dumps(found), "utf-8")
    return report.pairs


def follower(folder: Path, line: Line) -> Callable[[Any], None]:
    """What tells of each step: the live line, and tensorboard where it is installed."""
    board: Any = None
    try:
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(folder / "tensorboard"))
    except ImportError:
        pass

    def follow(progress: Any) -> None:
        text = f"step {progress.step}/{progress.steps}  loss {progress.loss:.4f}"
        if progress.held_out is not None:
            text += f"  held-out {progress.held_out:.4f}"
        text += f"  {progress.speed:.1f} samples/s  {clock(progress.left)} left"
        if progress.memory:
            text += f"  {progress.memory:.1f} GB"
        whole = progress.picture is not None or progress.step == progress.steps
        line.say(text, stays=whole)
        if board is not None:
            board.add_scalar("loss", progress.loss, progress.step)
            for branch, loss in progress.branches.items():
                board.add_scalar(f"loss/{branch}", loss, progress.step)
            if progress.held_out is not None:
                board.add_scalar("loss/held out", progress.held_out, progress.step)

    return follow


def clock(seconds: float) -> str:
    """A time in words: 50 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Line:
    """The live line on standard error.

    On a terminal each takes the place of the one before, unless that was to stay. Elsewhere, as in
    a file, those that do not stay appear once in ten seconds.
    """

    def __init__(self) -> None:
        self.last = 0.0

    def say(self, line: str, stays: bool = True) -> None:
        if os.environ.get("RANK", "0") != "0":
            return
        if sys.stderr.isatty():
            print(f"\r\x1b[K{line}", end="\n" if stays else "", file=sys.stderr, flush=True)
        elif stays or time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
