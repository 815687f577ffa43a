"""The command `ip2p`: edits, workflows and batches on ComfyUI's queue, without the editor.

Exit codes: 0 done; 1 some rows of a batch failed; 2 wrong usage; 3 wrong input; 4 no ComfyUI, or it
cannot be reached; 5 the workflow was refused; 6 a node failed or the job was cancelled; 7 a result
cannot be written; 130 stopped with Ctrl-C, 143 with SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ..edits.settings import BUILT_IN
from .app.command import app as run_app
from .batch_command import batch as run_batch
from .convert_command import convert as run_convert
from .demo import demo as run_demo
from .doctor import Finding, examine, options, traps
from .errors import InputError, IP2PError, NodesMissing
from .measure_command import measure as run_measure
from .messages import Prompt, printable
from .models_command import models
from .names import distinct_targets, slug
from .options import (
    Address,
    CAOption,
    HeaderOption,
    InsecureOption,
    JsonOption,
    ServerOption,
    SetOption,
    TimeoutOption,
    finish,
    gather,
    pairs,
    report,
)
from .pairs_command import app as pairs_app
from .picture import PICTURES
from .progress import View
from .saved import as_prompt
from .server import serve as run_serve
from .train_command import train as run_train
from .workflow import checked, is_saved, load_json, patched, with_image

app = typer.Typer(
    help="Edit pictures by instruction on ComfyUI's own queue, with InstructPix2Pix.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
errors = Console(stderr=True)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to save.")] = Path("demo"),
    server: ServerOption = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Edit three bundled pictures with the built-in model, and make a before/after sheet."""
    address = Address(server, header, insecure, ca, timeout)

    async def work() -> tuple[list[Path], Path]:
        with View(as_json) as view:
            async with address.client(view) as client:
                return await run_demo(client, output, view)

    edited, sheet = finish(work())
    lines = [f"edited  {path}" for path in edited] + [f"sheet   {sheet}"]
    value = {"edited": [str(path) for path in edited], "sheet": str(sheet)}
    report(as_json, value, "\n".join(lines))


@app.command()
def edit(
    what: Annotated[
        list[str],
        typer.Argument(help="Pictures and instructions, in any order: every picture gets each."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; for several edits, the folder."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A name of `ip2p presets`; in place of instructions come its values."),
    ] = None,
    text_cfg: Annotated[
        float | None, typer.Option(help="How strongly to follow the words. 7.5 by default.")
    ] = None,
    image_cfg: Annotated[
        float | None, typer.Option(help="How strongly to keep the picture. 1.5 by default.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Sampling steps. 20 by default.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another attempt.")] = 0,
    negative: Annotated[str, typer.Option(help="What to steer away from.")] = "",
    checkpoint: Annotated[
        str | None,
        typer.Option(help="A name that IP2PLoadCheckpoint lists; an editor for photos by default."),
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="A picture; white may change.")] = None,
    settings: SetOption = None,
    server: ServerOption = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Edit pictures: ip2p edit photo.jpg "make it snow" -o out.png"""
    images = [Path(w) for w in what if Path(w).suffix.lower() in PICTURES or os.path.isfile(w)]
    instructions = [w for w in what if Path(w) not in images]
    if preset and not instructions:
        instructions = [""]
    if not images or not instructions:
        raise InputError("give at least one picture and one instruction")
    single = len(images) * len(instructions) == 1
    if not single and output and output.suffix.lower() in PICTURES:
        raise InputError(f"--output {output}: several edits need a folder")
    edits = list(dict.fromkeys((image, words) for image in images for words in instructions))
    if single and output and output.suffix:
        targets = [output]
    else:
        named = [(image, f"{preset or ''} {words}".strip()) for image, words in edits]
        targets = distinct_targets(named, output)
    jobs = [(*edit, target) for edit, target in zip(edits, targets, strict=True)]
    if single and jobs[0][2].suffix.lower() != ".png":
        raise InputError(f"--output {output}: the result is a .png")
    address = Address(server, header, insecure, ca, timeout)
    scales = dict(text_cfg=text_cfg, image_cfg=image_cfg, steps=steps)
    parameters: dict[str, Any] = dict(seed=seed, negative=negative)
    parameters |= {name: value for name, value in scales.items() if value is not None}

    async def work() -> dict[str, Any]:
        async def one(image: Path, instruction: str, target: Path) -> dict[str, Any]:
            words = f"{preset}: {instruction}" if preset else f'"{instruction}"'
            line = view.line(f"{image.name}: {words}", "waiting")
            wording: dict[str, Any] = dict(preset=preset, value=instruction) if preset else {}
            result = await client.edit(
                image,
                "" if preset else instruction,
                target,
                mask=mask,
                settings=pairs(settings),
                listener=view.listener(line),
                **parameters,
                **wording,
            )
            view.done(line, f"{result.seconds:.0f} s")
            for note in result.notes:
                view.note(note)
            made = {"image": str(image), "instruction": instruction, "output": str(target)}
            return {**made, "notes": list(result.notes)}

        with View(as_json) as view:
            async with address.client(view) as client:
                choice = await client.checkpoint(checkpoint)
                parameters["checkpoint"] = choice.name
                if choice.note:
                    view.note(choice.note)
                done = list(await gather(*(one(*job) for job in jobs)))
                return {"edits": done, "checkpoint": choice.name, "note": choice.note}

    done = finish(work())
    report(as_json, done, "\n".join(made["output"] for made in done["edits"]))
    if done["note"] and done["checkpoint"] == BUILT_IN and not as_json:
        # Again, beside the result.
        errors.print(f"note: {escape(done['note'])}", highlight=False, soft_wrap=True)


@app.command()
def run(
    workflow: Annotated[
        Path, typer.Argument(help="A workflow in the API format, or as the editor saves it.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to save.")] = Path("."),
    settings: SetOption = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--image", help='Upload a picture for a node: "Source=photo.jpg".'),
    ] = None,
    server: ServerOption = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run any workflow: ip2p run workflows/api/weather.json --set Sampler.seed=7"""
    address = Address(server, header, insecure, ca, timeout)
    loaded = load_json(workflow)
    saved_graph = loaded if is_saved(loaded) else None
    changes = pairs(settings)
    if saved_graph is None:
        loaded = checked(loaded, str(workflow))
        patched(loaded, changes)  # before anything is started
    uploads = [(title, Path(path)) for title, path in pairs(images).items()]

    async def work() -> list[str]:
        with View(as_json) as view:
            async with address.client(view) as client:
                prompt: Prompt = loaded
                if saved_graph:
                    prompt = await as_prompt(client, saved_graph)
                prompt = patched(prompt, changes)
                for title, path in uploads:
                    prompt = with_image(prompt, title, (await client.upload(path)).annotated)
                line = view.line(workflow.stem, "waiting")
                listener = view.listener(line, prompt)
                result = await client.run(prompt, listener=listener, workflow=saved_graph)
                kept = [made for made in result.outputs if made.file.type == "output"]
                kept = kept or list(result.outputs)  # previews, where nothing else came
                saved = []
                for number, made in enumerate(kept, 1):
                    many = f"-{number}" if len(kept) > 1 else ""
                    suffix = Path(made.file.filename).suffix
                    target = output / f"{slug(workflow.stem)}-{slug(made.title)}{many}{suffix}"
                    await client.save(made.file, target)
                    saved.append(str(target))
                view.done(line, f"{result.seconds:.0f} s")
                return saved

    saved = finish(work())
    report(as_json, {"outputs": saved}, "\n".join(saved))


batch = app.command()(run_batch)
page = app.command("app")(run_app)
convert = app.command()(run_convert)
measure = app.command()(run_measure)
train = app.command()(run_train)


@app.command()
def doctor(
    workflow: Annotated[
        Path | None, typer.Argument(help="A workflow to look at too, in either format.")
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Load each checkpoint that lies on another machine.")
    ] = False,
    server: ServerOption = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether ComfyUI, the pack, the checkpoints and a workflow are well; else exit with 1."""
    address = Address(server, header, insecure, ca)
    loaded: Any = load_json(workflow) if workflow else None
    if workflow and not is_saved(loaded):
        loaded = checked(loaded, str(workflow))

    async def work() -> list[Finding]:
        with View(as_json) as view:
            async with address.client(view) as client:
                findings = await examine(client, load)
                if is_saved(loaded):
                    return findings + list(traps(await as_prompt(client, loaded)))
                return findings + list(traps(loaded or {}))

    found = finish(work())
    signs = {True: "ok  ", False: "BAD ", None: "note"}
    lines = [f"{signs[f.good]}  {f.what}: {f.message}" for f in found]
    report(as_json, {"findings": [asdict(f) for f in found]}, "\n".join(lines))
    if any(f.good is False for f in found):
        raise typer.Exit(1)


@app.command()
def presets(
    server: ServerOption = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the ready edits of IP2PPreset: ip2p edit photo.jpg --preset "hair color" blue"""
    address = Address(server, header, insecure, ca)

    async def work() -> list[str]:
        with View(as_json) as view:
            async with address.client(view) as client:
                await client.ready()
                found = await client.server.object_info("IP2PPreset")
                if "IP2PPreset" not in found:
                    raise NodesMissing("the server has no node IP2PPreset; update its pack")
                return options(found["IP2PPreset"], "preset")

    names = finish(work())
    report(as_json, {"presets": names}, "\n".join(names))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Where ComfyUI listens.")] = 8188,
    listen: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
) -> None:
    """Run ComfyUI and its editor with this pack until Ctrl-C; other options go to ComfyUI."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = run_serve(listen, port, context.args)
    except KeyboardInterrupt:
        status = 130
    raise typer.Exit(status)


def main() -> None:
    app.add_typer(models, name="models")
    app.add_typer(pairs_app, name="pairs")
    try:
        app()
    except IP2PError as error:
        if "--json" in sys.argv:
            kind = type(error).__name__
            print(json.dumps({"error": {"kind": kind, "message": str(error)}}, indent=2))
        errors.print(
            f"[red]{type(error).__name__}[/red]: {escape(printable(str(error)))}",
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
