"""The command `ip2p`: edits, workflows and batches on ComfyUI's queue, without the editor.

Exit codes: 0 done; 1 some rows of a batch failed; 2 wrong usage; 3 wrong input; 4 no ComfyUI, or it
cannot be reached; 5 the workflow was refused; 6 a node failed or the job was cancelled; 7 a result
cannot be written; 130 stopped with Ctrl-C, 143 with SIGTERM.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app.command import app as page
from .batch_command import batch
from .convert_command import convert
from .edit_command import edit
from .errors import InputError, IP2PError
from .measure_command import measure
from .options import CONNECTION, Address, JsonOption, finish, report, takes
from .run_command import run
from .train_command import train

if TYPE_CHECKING:
    from .doctor import Finding

app = typer.Typer(
    help="Edit pictures by instruction on ComfyUI's own queue, with InstructPix2Pix.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing the help in boxes takes four times as long
)


def say_version(wanted: bool) -> None:
    if wanted:
        print(f"ip2p {version()}")
        raise typer.Exit


def version() -> str:
    """The version of this pack, from its own pyproject.toml where it is not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    try:
        return installed("instruct-pix2pix")
    except PackageNotFoundError:
        found = re.search(r'^version = "(.+)"', project.read_text(encoding="utf-8"), re.MULTILINE)
        return found[1] if found else "of unknown version"


@app.callback()
def ip2p(
    version: Annotated[
        bool,
        typer.Option("--version", callback=say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
@takes("address", CONNECTION, Address)
def demo(
    address: Address,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to save.")] = Path("demo"),
    as_json: JsonOption = False,
) -> None:
    """Edit three bundled pictures with the built-in model, and make a before/after sheet."""
    from .demo import demo
    from .progress import View

    async def work() -> tuple[list[Path], Path]:
        with View(as_json) as view:
            async with address.client(view) as client:
                return await demo(client, output, view)

    edited, sheet = finish(work())
    lines = [f"edited  {path}" for path in edited] + [f"sheet   {sheet}"]
    value = {"edited": [str(path) for path in edited], "sheet": str(sheet)}
    report(as_json, value, "\n".join(lines))


COMMANDS = [app.command()(command) for command in (edit, run, batch, convert, measure, train)]
PAGE = app.command("app")(page)


@app.command()
@takes("address", CONNECTION, Address)
def doctor(
    address: Address,
    what: Annotated[
        str | None,
        typer.Argument(
            help="A workflow (.json) to look at too, in either format; or a checkpoint, whose "
            "branches are measured on this machine, without a server."
        ),
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Load each checkpoint that lies on another machine.")
    ] = False,
    instruction: Annotated[
        list[str] | None,
        typer.Option(help="An edit that the checkpoint knows; general ones by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether ComfyUI, the pack, the checkpoints and a workflow are well; else exit with 1."""
    if what and not what.endswith(".json"):
        from .branches import examine_checkpoint

        if address.server or load:
            raise InputError("--server, --load: a checkpoint is measured here; leave them out")
        found = examine_checkpoint(what, instruction or [])
    elif instruction:
        raise InputError("--instruction: is asked of a checkpoint; name one")
    else:
        found = examine_server(address, Path(what) if what else None, load, as_json)
    signs = {True: "ok  ", False: "BAD ", None: "note"}
    lines = [f"{signs[f.good]}  {f.what}: {f.message}" for f in found]
    report(as_json, {"findings": [asdict(f) for f in found]}, "\n".join(lines))
    if any(f.good is False for f in found):
        raise typer.Exit(1)


def examine_server(
    address: Address, workflow: Path | None, load: bool, as_json: bool
) -> list[Finding]:
    """What the doctor finds about a server, its checkpoints and a workflow."""
    from .doctor import examine, traps
    from .progress import View
    from .saved import as_prompt
    from .workflow import checked, is_saved, load_json

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

    return finish(work())


@app.command()
def presets(as_json: JsonOption = False) -> None:
    """List the ready edits: ip2p edit photo.jpg --preset "hair color" blue"""
    from ..edits.presets import PRESETS

    listed = []
    for name, preset in PRESETS.items():
        wording = preset.instruction(f"[{preset.value}]", f"[{preset.subject}]")
        scales = f"text_cfg {preset.text_cfg}, image_cfg {preset.image_cfg}"
        listed.append(f"{name}\n    {wording}\n    {scales}. {preset.needs}")
    head = (
        "In place of [words in brackets] come the value, and --subject where there are two.\n"
        "The scales are for Stable Diffusion 1.5; for other families they change in proportion.\n"
    )
    found = [{"preset": name, **asdict(preset)} for name, preset in PRESETS.items()]
    report(as_json, {"presets": found}, "\n".join([head, *listed]))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Where ComfyUI listens.")] = 8188,
    listen: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
) -> None:
    """Run ComfyUI and its editor with this pack until Ctrl-C; other options go to ComfyUI."""
    from .server import serve

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = serve(listen, port, context.args)
    except KeyboardInterrupt:
        status = 130
    raise typer.Exit(status)


def groups() -> dict[str, typer.Typer]:
    """`ip2p models ...` and `ip2p pairs ...`, which are imported when one of them is called."""
    called = sys.argv[1:2]
    found = {
        "models": typer.Typer(help="List the editors that can be downloaded, and download one."),
        "pairs": typer.Typer(help="Make, check and draw training pairs."),
    }
    for empty in found.values():
        empty.callback()(lambda: None)
    if called == ["models"]:
        from .models_command import models

        found["models"] = models
    if called == ["pairs"]:
        from .pairs_command import app as pairs

        found["pairs"] = pairs
    return found


def main() -> None:
    for name, group in groups().items():
        app.add_typer(group, name=name)
    try:
        app()
    except IP2PError as error:
        from .messages import printable

        if "--json" in sys.argv:
            kind = type(error).__name__
            print(json.dumps({"error": {"kind": kind, "message": str(error)}}, indent=2))
        else:
            print(printable(str(error)), file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
