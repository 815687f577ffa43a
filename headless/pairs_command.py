"""The commands `ip2p pairs ...`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from ..edits.settings import TEXT_TO_IMAGE
from ..pairs.captions import Endpoint, ModelAway, ModelError, Writer
from ..pairs.clip_tokens import ClipTokens
from ..pairs.pair import Pair
from ..pairs.rules import Rules
from ..pairs.table import write_pairs
from ..pairs.triples import (
    Triple,
    TripleLedger,
    TriplesError,
    as_line,
    examples,
    read_captions,
    read_triples,
)
from .batch import Endpoint as Server
from .errors import AccessDenied, ComfyUINotFound, InputError, ServerUnavailable
from .files import write_whole
from .language_model import LocalModel
from .options import HOW_TO_SPEAK, Address, JsonOption, finish, option, report, takes
from .options import pairs as named_values
from .pair_drawing import Drawing, PairDrawer, PairFolder, write_page
from .progress import View
from .server import find_comfyui
from .torch_side import run_program

app = typer.Typer(help="Make, check and draw training pairs.", no_args_is_help=True)


@app.command()
def check(
    place: Annotated[Path, typer.Argument(help="Pairs in any layout that ip2p train reads.")],
    resolution: Annotated[int, typer.Option(help="Training size in pixels.")] = 512,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet of 12 pairs.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help='A column of a table: "source=NAME", target, instruction, ...'),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what training will find in a set of pairs, and what is wrong with it."""
    arguments = [str(place), "--resolution", str(resolution)]
    arguments += ["--columns", json.dumps(named_values(column))]
    if sheet:
        arguments += ["--sheet", str(sheet)]
    told = run_program("pairs.command", arguments)
    report(as_json, {"report": told.splitlines()}, told.rstrip())


@app.command()
def curve(
    place: Annotated[Path, typer.Argument(help="Pairs in any layout that ip2p train reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the plan.")] = (
        Path("curve")
    ),
    limit: Annotated[int, typer.Option(min=1, help="Pictures to take. The authors: 5000.")] = 5000,
    text_cfg: Annotated[float, typer.Option(help="The text_cfg of all edits.")] = 7.5,
    image_cfgs: Annotated[
        str, typer.Option(help="The image_cfg of each point, with commas between.")
    ] = "1,1.2,1.4,1.6,1.8,2,2.2",
    column: Annotated[
        list[str] | None,
        typer.Option(help='A column of a table: "source=NAME", target, instruction, ...'),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan the curve of the paper's figure 8: what ip2p batch edits and ip2p measure reads."""
    arguments = [str(place), "--output", str(output), "--limit", str(limit)]
    arguments += ["--text-cfg", str(text_cfg), "--image-cfgs", image_cfgs]
    told = run_program("pairs.curve", [*arguments, "--columns", json.dumps(named_values(column))])
    manifest, samples = output / "manifest.jsonl", output / "samples.jsonl"
    then = [
        f"ip2p batch {manifest} -o {output / 'edited'} --checkpoint YOURS",
        f"ip2p measure {samples} --clip FOLDER -o {output / 'measured'}",
    ]
    report(as_json, {"manifest": str(manifest), "samples": str(samples)}, "\n".join([told, *then]))


ASKING = (
    option(*("model", str, "default", "--model"), help="The model's name on that server."),
    option(*("edits", int, 3, "--edits"), min=1, help="Edits to ask for, of each caption."),
    option(*("temperature", float, 0.7, "--temperature"), min=0, help="Higher is more varied."),
    option(*("seed", int, 0, "--seed"), help="For servers that take one."),
    option(*("patience", float, 120, "--patience"), help="Seconds that one answer may take."),
    option(
        *("key", str, "IP2P_LLM_KEY", "--key"),
        help="The environment variable that holds the key of a server.",
    ),
)


def asking(key: str, **others: Any) -> Callable[[str], Endpoint]:
    """How to ask a language model, by its address."""
    return partial(Endpoint, key=os.environ.get(key, ""), **others)


@app.command()
@takes("endpoint", ASKING, asking)
def write(
    captions: Annotated[
        Path, typer.Argument(help="One caption a line, or a .jsonl with the key caption.")
    ],
    llm: Annotated[
        str,
        typer.Option(
            help="An OpenAI-compatible address, such as http://127.0.0.1:8080/v1, or a folder "
            "with a model of transformers."
        ),
    ],
    endpoint: Callable[[str], Endpoint],
    output: Annotated[Path, typer.Option("--output", "-o", help="The triples, as .jsonl.")] = (
        Path("triples.jsonl")
    ),
    at_once: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 4,
    shown: Annotated[
        Path | None,
        typer.Option("--examples", help="Your own triples as .jsonl, to be shown to the model."),
    ] = None,
    banned: Annotated[
        Path | None, typer.Option(help="Words, one a line, that no triple may have.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Have a language model write instructions and edited captions for captions.

    Stopped at any point, the same command goes on where it was.
    """
    try:
        material = Material.read(captions, shown, banned)
        ledger = TripleLedger(output.with_suffix(".ledger"))
    except TriplesError as error:
        raise InputError(str(error)) from None
    try:
        counts = finish(written(material, ledger, llm, endpoint, at_once, as_json))
    except ModelAway as error:
        raise ServerUnavailable(str(error)) from None
    except ModelError as error:
        raise AccessDenied(str(error)) from None
    except TriplesError as error:
        raise InputError(str(error)) from None
    finally:
        with write_whole(output) as file:
            file.writelines(as_line(triple).encode() for triple in ledger.triples())
        ledger.close()
    value, text = summary(ledger, counts, output, material.rules.count_tokens is not None)
    report(as_json, value, text)
    if counts["failed"]:
        raise typer.Exit(1)


@dataclass(frozen=True)
class Material:
    """What triples are written from: captions, triples to show to the model, and rules."""

    captions: list[str]
    shown: list[Triple]
    rules: Rules

    @classmethod
    def read(cls, captions: Path, shown: Path | None, banned: Path | None) -> Material:
        """Raises TriplesError, and InputError for the file of banned words."""
        wanted = read_captions(captions)
        known = [triple for _, triple in read_triples(shown)] if shown else examples()
        try:
            words = banned.read_text(encoding="utf-8").lower().split() if banned else []
        except OSError as error:
            raise InputError(f"--banned {banned}: {error.strerror}") from None
        tokens = clip_tokens()
        return cls(wanted, known, Rules(tokens.count if tokens else None, frozenset(words)))


async def written(
    material: Material,
    ledger: TripleLedger,
    llm: str,
    endpoint: Callable[[str], Endpoint],
    at_once: int,
    quiet: bool,
) -> Counter[str]:
    """Ask the model, at an address or in a folder, for all that is missing; how many became what.

    endpoint  how to ask it, by its address
    """
    with View(quiet) as view:
        tell = view.counter(view.line(f"{len(material.captions)} captions"))
        async with LocalModel.at(llm, view) as url, aiohttp.ClientSession() as session:

            def told(counts: Counter[str]) -> None:
                waiting = counts["captions"] - counts["answered"] - counts["failed"]
                states = {"done": counts["answered"], "failed": counts["failed"]}
                tell(states | {"pending": waiting}, writer.seconds)

            writer = Writer(session, endpoint(url), material.rules, ledger, material.shown, told)
            await writer.write(material.captions, at_once)
        return writer.counts


def summary(
    ledger: TripleLedger, counts: Counter[str], output: Path, measured: bool
) -> tuple[dict[str, Any], str]:
    """What came of the captions, for a script and for a person.

    measured  whether lengths in CLIP's tokens were checked
    """
    refused = dict(ledger.refused().most_common())
    number = sum(1 for _ in ledger.triples())
    lines = [f"{number} triples of {counts['captions']} captions: {output}"]
    lines += [f"refused  {many}  {reason}" for reason, many in refused.items()]
    if counts["failed"]:
        lines.append(f"failed  {counts['failed']}  captions; the same command asks again")
    if not measured:
        lines.append("no ComfyUI was found here, so lengths in CLIP's tokens were not checked")
    value = {"triples": number, "refused": refused, "failed": counts["failed"]}
    return value | {"output": str(output)}, "\n".join(lines)


def clip_tokens() -> ClipTokens | None:
    """CLIP's vocabulary out of ComfyUI, if there is one on this machine."""
    with suppress(ComfyUINotFound, OSError):
        return ClipTokens(find_comfyui().tree / "comfy" / "sd1_tokenizer" / "merges.txt")
    return None


@app.command()
@takes("address", HOW_TO_SPEAK, Address)
def draw(
    triples: Annotated[Path, typer.Argument(help="What ip2p pairs write made.")],
    address: Address,
    checkpoint: Annotated[
        str,
        typer.Option(
            help="A Stable Diffusion 1.x, 2.x or SDXL file of ComfyUI's checkpoints, or "
            f'"{TEXT_TO_IMAGE}", which draws its own world.'
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the pairs.")] = (
        Path("pairs")
    ),
    samples: Annotated[int, typer.Option(min=1, help="Pairs to draw of each triple.")] = 8,
    keep: Annotated[int, typer.Option(min=1, help="Pairs to keep of each triple.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps.")] = 20,
    seed: Annotated[int, typer.Option(help="Another seed draws other pairs.")] = 0,
    resolution: Annotated[
        int, typer.Option(help="The side of the pictures; that of the model by default.")
    ] = 0,
    clip_vision: Annotated[
        str, typer.Option(help="A file of clip_vision that scores the pairs.")
    ] = "",
    clip: Annotated[
        str, typer.Option(help="The text part of the same CLIP, a file of text_encoders.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help='Other inputs of IP2PMakePairs: "swap_to=0.8".'),
    ] = None,
    per_server: Annotated[int, typer.Option(min=1, help="Jobs in a server's queue.")] = 2,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", help="A running ComfyUI; several share the triples."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw pictures before and after for every triple, and keep the best.

    Stopped at any point, the same command goes on where it was. The folder is one that ip2p train
    reads.
    """
    try:
        wanted = list(dict.fromkeys(triple for _, triple in read_triples(triples)))
    except TriplesError as error:
        raise InputError(str(error)) from None
    inputs = {"samples": samples, "keep": keep, "steps": steps, **MAKING}
    inputs |= {name: typed(name, value) for name, value in named_values(settings).items()}
    results = PairFolder(output, Drawing(checkpoint, inputs, seed, resolution, clip_vision, clip))
    options = {**address.options(), "max_queued": per_server}
    places = [Server(url, options) for url in server or ()]
    places = places or [Server(None, options, output / "comfyui.log")]
    output.mkdir(parents=True, exist_ok=True)
    with View(as_json) as view:
        line = view.line(f"{len(wanted)} triples", "" if server else "starting ComfyUI")
        drawer = PairDrawer(results, places, per_server, view.counter(line))
        finish(drawer.run(wanted))
    made = list(results.pairs(wanted))
    report(as_json, *drawn(made, len(wanted), drawer.failed, output))
    if drawer.failed:
        raise typer.Exit(1)


def drawn(
    made: list[Pair], triples: int, failed: dict[str, str], output: Path
) -> tuple[dict[str, Any], str]:
    """Write the page and the table of the pairs; what was drawn, for a script and for a person."""
    page = write_page(output, made)
    lines = [f"{len(made)} pairs of {triples} triples", str(page)]
    if made:
        lines.insert(1, str(write_pairs(made, output)))
    lines += [f"{name}: {why}" for name, why in list(failed.items())[:10]]
    value = {"pairs": len(made), "triples": triples, "failed": failed}
    return value, "\n".join(lines)


def typed(name: str, value: str) -> Any:
    """A setting of IP2PMakePairs as a number where it is one."""
    if name not in MAKING:
        raise InputError(f"--set {name}: no such input; there are {', '.join(MAKING)}")
    try:
        return type(MAKING[name])(value)
    except ValueError:
        raise InputError(f"--set {name}={value}: expected a number") from None


# The authors' settings, as IP2PMakePairs has them by default.
MAKING: dict[str, Any] = {
    **{"swap_from": 0.1, "swap_to": 0.9, "cfg_from": 7.5, "cfg_to": 15.0},
    **{"sampler_name": "euler_ancestral", "scheduler": "normal", "thresholds": "authors"},
}
