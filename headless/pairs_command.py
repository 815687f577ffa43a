"""The commands `ip2p pairs ...`."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import aiohttp
import typer

from ..pairs.captions import Endpoint, ModelAway, ModelError, Writer
from ..pairs.clip_tokens import ClipTokens
from ..pairs.rules import Rules
from ..pairs.triples import TripleLedger, TriplesError, as_line, examples, read_captions
from ..pairs.triples import read_triples as read_examples
from .errors import AccessDenied, ComfyUINotFound, InputError, ServerUnavailable
from .files import write_whole
from .language_model import LocalModel
from .options import JsonOption, finish, report
from .options import pairs as named_values
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
    model: Annotated[str, typer.Option(help="The model's name on that server.")] = "default",
    output: Annotated[Path, typer.Option("--output", "-o", help="The triples, as .jsonl.")] = (
        Path("triples.jsonl")
    ),
    edits: Annotated[int, typer.Option(min=1, help="Edits to ask for, of each caption.")] = 3,
    at_once: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 4,
    temperature: Annotated[float, typer.Option(min=0, help="Higher is more varied.")] = 0.7,
    seed: Annotated[int, typer.Option(help="For servers that take one.")] = 0,
    patience: Annotated[float, typer.Option(help="Seconds that one answer may take.")] = 120,
    key: Annotated[
        str, typer.Option(help="The environment variable that holds the key of a server.")
    ] = "IP2P_LLM_KEY",
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
        wanted = read_captions(captions)
        known = [t for _, t in read_examples(shown)] if shown else examples()
        words = banned.read_text(encoding="utf-8").lower().split() if banned else []
        ledger = TripleLedger(output.with_suffix(".ledger"))
    except TriplesError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"--banned {banned}: {error.strerror}") from None
    tokens = clip_tokens()
    rules = Rules(tokens.count if tokens else None, frozenset(words))
    secret = os.environ.get(key, "")

    async def work() -> Counter[str]:
        with View(as_json) as view:
            line = view.line(f"{len(wanted)} captions")
            tell = view.counter(line)
            async with LocalModel.at(llm, view) as url, aiohttp.ClientSession() as session:
                endpoint = Endpoint(url, model, secret, edits, temperature, seed, patience)

                def told(counts: Counter[str]) -> None:
                    waiting = counts["captions"] - counts["answered"] - counts["failed"]
                    states = {"done": counts["answered"], "failed": counts["failed"]}
                    tell(states | {"pending": waiting}, writer.seconds)

                writer = Writer(session, endpoint, rules, ledger, known, told)
                await writer.write(wanted, at_once)
            return writer.counts

    try:
        counts = finish(work())
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
    refused = dict(ledger.refused().most_common())
    number = sum(1 for _ in ledger.triples())
    value = {"triples": number, "refused": refused, "failed": counts["failed"]}
    lines = [f"{number} triples of {counts['captions']} captions: {output}"]
    lines += [f"refused  {many}  {reason}" for reason, many in refused.items()]
    if counts["failed"]:
        lines.append(f"failed  {counts['failed']}  captions; the same command asks again")
    if tokens is None:
        lines.append("no ComfyUI was found here, so lengths in CLIP's tokens were not checked")
    report(as_json, value | {"output": str(output)}, "\n".join(lines))
    if counts["failed"]:
        raise typer.Exit(1)


def clip_tokens() -> ClipTokens | None:
    """CLIP's vocabulary out of ComfyUI, if there is one on this machine."""
    with suppress(ComfyUINotFound, OSError):
        return ClipTokens(find_comfyui().tree / "comfy" / "sd1_tokenizer" / "merges.txt")
    return None
