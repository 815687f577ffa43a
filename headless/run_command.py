"""The command `ip2p run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import InputError
from .options import (
    CONNECTION,
    Address,
    ForceOption,
    JsonOption,
    SetOption,
    finish,
    pairs,
    report,
    takes,
)

if TYPE_CHECKING:
    from .client import Client
    from .messages import Prompt
    from .outcome import Output


@takes("address", CONNECTION, Address)
def run(
    workflow: Annotated[
        Path, typer.Argument(help="A workflow in the API format, or as the editor saves it.")
    ],
    address: Address,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to save.")] = Path("."),
    settings: SetOption = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--image", help='Upload a picture for a node: "Source=photo.jpg".'),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run any workflow: ip2p run workflows/api/weather.json --set Sampler.seed=7"""
    from .progress import View
    from .workflow import checked, is_saved, load_json, patched

    loaded = load_json(workflow)
    saved_graph = loaded if is_saved(loaded) else None
    changes = pairs(settings)
    if saved_graph is None:
        loaded = checked(loaded, str(workflow))
        patched(loaded, changes)  # titles, before anything is started
    uploads = {title: Path(path) for title, path in pairs(images).items()}

    async def work() -> tuple[list[str], dict[str, str]]:
        with View(as_json) as view:
            async with address.client(view) as client:
                prompt = await prepared(client, loaded, changes, uploads)
                line = view.line(workflow.stem, "waiting")
                listener = view.listener(line, prompt)
                result = await client.run(prompt, listener=listener, workflow=saved_graph)
                saved = await save(client, prompt, result.outputs, output / workflow.stem, force)
                view.done(line, f"{result.seconds:.0f} s")
                for note in result.told():
                    view.note(note)
                return saved, dict(result.texts)

    saved, texts = finish(work())
    report(as_json, {"outputs": saved, "texts": texts}, "\n".join(saved))


async def prepared(
    client: Client, loaded: Any, changes: dict[str, str], uploads: dict[str, Path]
) -> Prompt:
    """The prompt of a workflow file, with its values changed and its pictures uploaded."""
    from .saved import as_prompt
    from .workflow import is_saved, patched, with_image

    await client.ready()
    prompt: Prompt = await as_prompt(client, loaded) if is_saved(loaded) else loaded
    prompt = patched(prompt, changes, await client.catalog.of(prompt))
    for title, path in uploads.items():
        prompt = with_image(prompt, title, (await client.upload(path)).annotated)
    await client.catalog.check(prompt)
    return prompt


async def save(
    client: Client, prompt: Prompt, outputs: Sequence[Output], name: Path, force: bool
) -> list[str]:
    """Save what a workflow made, under its name and the titles of the nodes; the files."""
    from .keys import key_in, prompt_key
    from .names import slug

    kept = [made for made in outputs if made.file.type == "output"]
    kept = kept or list(outputs)  # previews, where nothing else came
    saved = []
    for number, made in enumerate(kept, 1):
        many = f"-{number}" if len(kept) > 1 else ""
        suffix = Path(made.file.filename).suffix
        target = name.with_name(f"{slug(name.name)}-{slug(made.title)}{many}{suffix}")
        if not force and target.exists() and key_in(target) != prompt_key(prompt):
            target = free(target)
        await client.save(made.file, target)
        saved.append(str(target))
    return saved


def free(path: Path) -> Path:
    """The path with the first number behind its name that no file has."""
    for number in range(2, 10_000):
        found = path.with_stem(f"{path.stem}-{number}")
        if not found.exists():
            return found
    raise InputError(f"{path}: ten thousand files have this name; give another --output")
