"""Draws the picture pairs of triples on ComfyUI's queue, one folder for each triple.

A triple is done once its pairs.json is whole on the disk, which is written last. Whatever dies in
between, the next run takes up what is there. A picture that was deleted since is no longer
part of the set: that is how a set is pruned.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..edits.prompt import Node, node
from ..edits.settings import TEXT_TO_IMAGE
from ..pairs.pair import Pair, PictureFile
from ..pairs.triples import Triple
from .batch import ATTEMPTS, FATAL, Endpoint, end
from .client import Client
from .errors import ExecutionFailed, InputError, IP2PError, ServerMisbehaved, ServerUnavailable
from .files import write_whole
from .keys import prompt_key
from .messages import Prompt
from .names import slug

logger = logging.getLogger(__name__)

PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222226; }}
td {{ padding: .4rem .8rem; border-bottom: 1px solid #ececf0; vertical-align: middle; }}
img {{ max-width: 256px; display: block; }}
p, small {{ color: #6b6b74; }}
</style><h1>{title}</h1>
<p>{number} pairs. Delete a picture that you do not want in the set, and run the same command again.
</p><table>
"""
RECORD = "pairs.json"
SCORES = ("swap", "cfg", "image", "direction", "before", "after", "dino")
Report = Callable[[dict[str, int], float], None]


@dataclass(frozen=True)
class Drawing:
    """How pairs are drawn: the checkpoint, and inputs of IP2PMakePairs by their names.

    resolution         the side of the pictures in pixels; 0: that of the model
    clip_vision, clip  files of CLIPVisionLoader and CLIPLoader that score the pairs; "" for none
    """

    checkpoint: str
    inputs: dict[str, Any]
    seed: int = 0
    resolution: int = 0
    clip_vision: str = ""
    clip: str = ""

    def prompt(self, triple: Triple) -> Prompt:
        """The graph of one triple."""
        inputs: dict[str, Any] = {
            **{"model": ["model", 0], "clip": ["model", 1], "vae": ["model", 2]},
            **{"before": triple.input, "after": triple.output, "seed": self.seed_of(triple)},
            **self.inputs,
        }
        prompt = {
            "model": self.loader(),
            "pairs": node("Pairs", "IP2PMakePairs", **inputs),
            "before": node("Before", "SaveImage", images=["pairs", 0], filename_prefix="ip2p/b"),
            "after": node("After", "SaveImage", images=["pairs", 1], filename_prefix="ip2p/a"),
            "report": node("Report", "PreviewAny", source=["pairs", 2]),
        }
        if self.resolution:
            sides = {"width": self.resolution, "height": self.resolution, "batch_size": 1}
            prompt["size"] = node("Size", "EmptyLatentImage", **sides)
            inputs["latent_image"] = ["size", 0]
        if self.clip_vision:
            prompt["vision"] = node("Vision", "CLIPVisionLoader", clip_name=self.clip_vision)
            inputs["clip_vision"] = ["vision", 0]
        if self.clip:
            loader = {"clip_name": self.clip, "type": "stable_diffusion"}
            prompt["scoring"] = node("Scoring", "CLIPLoader", **loader)
            inputs["scoring_clip"] = ["scoring", 0]
        prompt["pairs"]["inputs"] = inputs
        return prompt

    def loader(self) -> Node:
        """Core's loader of text-to-image models; ours for the built-in one, too narrow for it."""
        if self.checkpoint == TEXT_TO_IMAGE:
            return node("Model", "IP2PLoadCheckpoint", checkpoint=TEXT_TO_IMAGE, weights="auto")
        return node("Model", "CheckpointLoaderSimple", ckpt_name=self.checkpoint)

    def seed_of(self, triple: Triple) -> int:
        """Another seed for each triple, the same whatever its place in the file."""
        text = f"{self.seed}\0{triple.input}\0{triple.output}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


class PairFolder:
    """The results: a folder for each triple, with its pictures and its record."""

    def __init__(self, folder: Path, drawing: Drawing) -> None:
        self.folder, self.drawing = folder, drawing

    def place(self, triple: Triple) -> Path:
        """The folder of a triple, named after its instruction and its content."""
        digest = hashlib.sha256("\0".join(triple).encode()).hexdigest()[:10]
        return self.folder / f"{slug(triple.edit)}-{digest}"

    def record(self, triple: Triple) -> dict[str, Any] | None:
        """What was drawn of a triple with these settings; None where nothing was."""
        try:
            record = json.loads((self.place(triple) / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = isinstance(record, dict) and record.get("key") == self.key(triple)
        return record if same else None

    def key(self, triple: Triple) -> str:
        return prompt_key(self.drawing.prompt(triple))

    async def draw(self, client: Client, triple: Triple) -> None:
        """Draw the pairs of a triple and write them down. Raises IP2PError."""
        prompt, place = self.drawing.prompt(triple), self.place(triple)
        record: dict[str, Any] = {"key": self.key(triple), **triple._asdict(), "pairs": []}
        try:
            result = await client.run(prompt)
        except ExecutionFailed as error:
            if not error.kind.endswith("NothingKept"):
                raise
            record["report"] = error.message
        else:
            record["report"] = report = result.texts.get("Report", "")
            files = {
                title: [made.file for made in result.outputs if made.title == title]
                for title in ("Before", "After")
            }
            rows = list(read_report(report))
            if not len(rows) == len(files["Before"]) == len(files["After"]):
                raise ServerMisbehaved(
                    f"the server sent {len(files['Before'])} and {len(files['After'])} pictures "
                    f"for {len(rows)} pairs"
                )
            for row, before, after in zip(rows, files["Before"], files["After"], strict=True):
                number = int(row["seed"])
                names = {"source": f"{number}_0.png", "target": f"{number}_1.png"}
                await client.save(before, place / names["source"])
                await client.save(after, place / names["target"])
                record["pairs"].append({**row, **names})
        with write_whole(place / RECORD) as file:
            file.write(json.dumps(record, indent=1).encode())

    def pairs(self, triples: Sequence[Triple]) -> Iterator[Pair]:
        """The pairs whose pictures are still there, in the order of the triples."""
        for triple in triples:
            place, record = self.place(triple), self.record(triple)
            for row in (record or {}).get("pairs", ()):
                source, target = place / row["source"], place / row["target"]
                if source.is_file() and target.is_file():
                    yield Pair(
                        f"{place.name}/{row['seed']:.0f}",
                        PictureFile(source),
                        PictureFile(target),
                        (triple.edit,),
                        triple.input,
                        triple.output,
                        origin=place.name,
                        scores={name: row[name] for name in ("seed", *SCORES) if name in row},
                    )


def read_report(report: str) -> Iterator[dict[str, float]]:
    """The lines of IP2PMakePairs' report that tell of a pair: seed, swap, cfg, scores."""
    for line in report.splitlines():
        if line.startswith("seed "):
            yield {name: float(value) for name, value in re.findall(r"(\w+) (-?[\d.]+)", line)}


class PairDrawer:
    """Draws the triples of a folder on one or several servers until each is done or has failed."""

    def __init__(
        self,
        results: PairFolder,
        places: Sequence[Endpoint],
        per_server: int = 1,
        report: Report = lambda counts, seconds: None,
    ) -> None:
        self.results, self.places, self.per_server = results, places, per_server
        self.report, self.started = report, time.monotonic()
        self.failed: dict[str, str] = {}
        self.waiting: list[Triple] = []
        self.counts: Counter[str] = Counter()

    async def run(self, triples: Sequence[Triple]) -> None:
        """Draw what is not done yet.

        Raises what stops every triple alike, or ServerUnavailable when the last server is gone.
        """
        self.waiting = [t for t in triples if self.results.record(t) is None][::-1]
        self.counts["done"] = len(triples) - len(self.waiting)
        self.counts["pending"] = len(self.waiting)
        if not self.waiting:
            return
        tasks = [asyncio.create_task(self._serve(place)) for place in self.places]
        try:
            gone = await asyncio.gather(*tasks)
        finally:
            await end(*tasks)
        if self.waiting:
            raise next(error for error in gone if error)

    async def _serve(self, place: Endpoint) -> ServerUnavailable | InputError | None:
        """Keep one server busy; returns why it is not used to the end, if so."""
        try:
            async with place.editor() as client:
                try:
                    for triple in self.waiting[-1:]:  # all ask for the same models
                        await client.catalog.check(self.results.drawing.prompt(triple))
                except InputError as error:
                    logger.warning("%s is not used: %s", place.url, error)
                    return error
                workers = [
                    asyncio.create_task(self._work(place, client)) for _ in range(self.per_server)
                ]
                try:
                    await asyncio.gather(*workers)
                finally:
                    await end(*workers)
        except ServerUnavailable as error:
            logger.warning("%s is not used any more: %s", place.url, error)
            return error
        return None

    async def _work(self, place: Endpoint, client: Client) -> None:
        while self.waiting:
            triple = self.waiting.pop()
            try:
                await self._try(place, client, triple)
            except BaseException:
                self.waiting.append(triple)  # for another server, or for the next run
                raise

    async def _try(self, place: Endpoint, client: Client, triple: Triple) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self.results.draw(client, triple)
            except FATAL:
                raise
            except IP2PError as error:
                if error.transient and attempt < ATTEMPTS:
                    if isinstance(error, ServerUnavailable):
                        await place.revive()
                    continue
                if isinstance(error, ServerUnavailable):
                    raise
                self.failed[self.results.place(triple).name] = str(error)
                self._count("failed")
                return
            self._count("done")
            return

    def _count(self, state: str) -> None:
        self.counts[state] += 1
        self.counts["pending"] -= 1
        self.report(dict(self.counts), time.monotonic() - self.started)


def write_page(folder: Path, pairs: Sequence[Pair]) -> Path:
    """Write pairs.html: every pair with its instruction and scores, to prune the set by eye."""
    path = folder / "pairs.html"
    title = html.escape(f"Pairs in {folder.absolute().name}")
    with write_whole(path) as file:
        file.write(PAGE.format(title=title, number=len(pairs)).encode())
        for pair in pairs:
            names = (
                Path(picture.name).relative_to(folder) for picture in (pair.source, pair.target)
            )
            shown = "".join(
                f'<td><a href="{html.escape(name.as_posix())}"><img loading="lazy" alt="" '
                f'src="{html.escape(name.as_posix())}"></a>'
                for name in names
            )
            scores = ", ".join(f"{name} {value:.15g}" for name, value in pair.scores.items())
            words = f"<b>{html.escape(pair.instruction)}</b><br>{html.escape(pair.caption)}<br>"
            words += f"{html.escape(pair.edited_caption)}<br><small>{html.escape(scores)}</small>"
            file.write(f"<tr>{shown}<td>{words}</tr>\n".encode())
        file.write(b"</table>\n")
    return path
