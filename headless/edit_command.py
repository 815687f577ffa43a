"""The command `ip2p edit`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..edits.settings import BUILT_IN
from .asked import Asked
from .errors import InputError
from .options import (
    ASKED,
    CONNECTION,
    Address,
    ForceOption,
    JsonOption,
    finish,
    gather,
    read_asked,
    report,
    takes,
)

if TYPE_CHECKING:
    from .choice import Choice
    from .client import Client
    from .outcome import Result
    from .picture import Picture
    from .progress import View


@dataclass(frozen=True, eq=False)
class Job:
    """One edit: of which picture, by which words, with which settings, into which file."""

    image: Path
    words: str
    parameters: dict[str, Any]
    target: Path

    @property
    def instruction(self) -> str:
        """The instruction; empty where a preset words it."""
        return "" if "preset" in self.parameters else self.words

    @property
    def title(self) -> str:
        preset = self.parameters.get("preset")
        return f"{self.image.name}: " + (f"{preset}: {self.words}" if preset else f'"{self.words}"')

    def told(self, result: Result | None) -> dict[str, Any]:
        """What --json says of it; the result is that of this run, if it was made now."""
        made = {"image": str(self.image), "instruction": self.words, "output": str(self.target)}
        notes, texts = (list(result.notes), dict(result.texts)) if result else ([], {})
        return {**made, "notes": notes, "texts": texts}


@takes("address", CONNECTION, Address)
@takes("asked", ASKED, read_asked)
def edit(
    what: Annotated[
        list[str],
        typer.Argument(help="Pictures and instructions, in any order: every picture gets each."),
    ],
    asked: Asked,
    address: Address,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file, .png, .jpg or .webp; for several edits, the folder."
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Edit pictures: ip2p edit photo.jpg "make it snow" -o out.png"""
    from .picture import read_picture

    jobs = plan(what, output, asked)
    pictures = {job.image: read_picture(job.image) for job in jobs}
    mask = read_picture(asked.mask, "mask") if asked.mask else None
    edits = Edits(asked, jobs, pictures, mask)
    if not force:
        edits.pass_over_what_is_there()
    if edits.missing:
        finish(edits.make_all(address, as_json), edits.so_far)
    report(as_json, edits.told(), edits.text())
    if edits.choice and edits.choice.name == BUILT_IN and not as_json:
        print(f"note: {edits.choice.note}", file=sys.stderr)  # again, beside the result


class Edits:
    """The edits of one command, and what has become of them.

    missing  those whose file is not there yet
    made     those of this run, with their results
    choice   the checkpoint, once the server has been asked
    """

    def __init__(
        self, asked: Asked, jobs: list[Job], pictures: dict[Path, Picture], mask: Picture | None
    ) -> None:
        self.asked, self.jobs, self.pictures, self.mask = asked, jobs, pictures, mask
        self.missing = jobs
        self.made: dict[Job, Result] = {}
        self.choice: Choice | None = None

    def pass_over_what_is_there(self) -> None:
        """Leave out what is made already. Raises InputError where a file holds something else."""
        self.missing = [job for job in self.jobs if not self.is_there(job)]

    def is_there(self, job: Job) -> bool:
        from .formats import prompt_in
        from .keys import edit_key, key_in
        from .names import refuse_existing

        if not os.path.lexists(job.target):
            return False
        parameters = job.parameters
        if "checkpoint" not in parameters:  # whichever was chosen for that file
            made_with = (prompt_in(job.target) or {}).get("model", {}).get("inputs", {})
            parameters = {**parameters, "checkpoint": str(made_with.get("checkpoint"))}
        picture, settings = self.pictures[job.image], self.asked.settings
        if key_in(job.target) != edit_key(
            picture, self.mask, job.instruction, parameters, settings
        ):
            refuse_existing([job.target])
        return True

    async def make_all(self, address: Address, quiet: bool) -> None:
        from .progress import View

        with View(quiet) as view:
            async with address.client(view) as client:
                self.choice = await client.checkpoint(self.asked.parameters.get("checkpoint"))
                if self.choice.note:
                    view.note(self.choice.note)
                parameters = {"checkpoint": self.choice.name}
                await gather(*(self.make(client, view, job, parameters) for job in self.missing))

    async def make(self, client: Client, view: View, job: Job, parameters: dict[str, Any]) -> None:
        """Make one edit, shown on a line of its own."""
        line = view.line(job.title, "waiting")
        result = await client.edit(
            self.pictures[job.image],
            job.instruction,
            job.target,
            mask=self.mask,
            settings=self.asked.settings,
            listener=view.listener(line),
            **{**job.parameters, **parameters},
        )
        view.done(line, f"{result.seconds:.0f} s")
        for note in result.told():
            view.note(note)
        self.made[job] = result

    def so_far(self) -> str:
        """How many are done, for when the command ends early."""
        done = len(self.jobs) - len(self.missing) + len(self.made)
        again = "; the same command goes on from there" if done else ""
        return f"{done} of {len(self.jobs)} edits are done{again}."

    def told(self) -> dict[str, Any]:
        """What --json says."""
        edits = [job.told(self.made.get(job)) for job in self.jobs]
        value: dict[str, Any] = {"edits": edits, "now": len(self.made)}
        if self.choice:
            value |= {"checkpoint": self.choice.name, "note": self.choice.note}
        return value

    def text(self) -> str:
        """The files, as printed."""
        lines = [] if self.missing else ["Nothing to do: these edits are there already."]
        return "\n".join([*lines, *(str(job.target) for job in self.jobs)])


def plan(what: list[str], output: Path | None, asked: Asked) -> list[Job]:
    """Every edit that is asked for. Raises InputError for what is neither picture nor words."""
    from .formats import BY_SUFFIX, format_named, format_of
    from .manifest import seeded
    from .names import distinct_targets

    images, words = sorted_out(what, "preset" in asked.parameters)
    edits = list(dict.fromkeys((image, text) for image in images for text in words))
    several = len(edits) * asked.seeds > 1
    if output and several and output.suffix.lower() in BY_SUFFIX:
        raise InputError(f"--output {output}: several edits need a folder")
    if output and output.suffix and not several and not output.is_dir():
        format_of(output.name, "--output")
        targets = [output]
    else:
        preset = asked.parameters.get("preset", "")
        named = [(image, f"{preset} {text}".strip()) for image, text in edits]
        targets = distinct_targets(named, output, format_named(asked.format).suffix)
    jobs = []
    for (image, text), target in zip(edits, targets, strict=True):
        for parameters in seeded(asked.parameters, asked.seeds):
            if "preset" in parameters:
                parameters["value"] = text
            many = f"-seed-{parameters['seed']}" if asked.seeds > 1 else ""
            own = target.with_stem(target.stem + many)
            jobs.append(Job(image, text, parameters, own))
    return jobs


def sorted_out(what: list[str], by_preset: bool) -> tuple[list[Path], list[str]]:
    """The pictures and the instructions among the arguments of `ip2p edit`."""
    from .picture import PICTURES

    images, words = [], []
    for given in what:
        if given.startswith(("http://", "https://")):
            raise InputError(
                f"{given} is an address, not a file: download the picture first, or name the "
                "address in a manifest for ip2p batch with --allow-host"
            )
        if os.path.isdir(given):
            example = f'ip2p batch {given} "make it snow"'
            raise InputError(f"{given} is a folder: give it to ip2p batch, such as {example}")
        if os.path.isfile(given):
            images.append(Path(given))
        elif Path(given).suffix.lower() in PICTURES:
            raise InputError(f"{given}: there is no such file")
        elif not given.strip():
            raise InputError("the instruction is empty; say what to change")
        else:
            words.append(given)
    if not images:
        raise InputError(f"no picture is given: {words[0]!r} is not a file")
    if not words and not by_preset:
        raise InputError(f'{images[-1]}: say what to change, such as "make it snow"')
    return images, words or [""]
