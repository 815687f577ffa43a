"""The same pairs, written in every layout that people have."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from instruct_pix2pix.pairs.pair import Pair, PictureBytes
from instruct_pix2pix.pairs.table import write_pairs
from PIL import Image

COUNT = 8


def png(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def made(count: int = COUNT, size: tuple[int, int] = (64, 64)) -> list[Pair]:
    """Pairs of smooth random pictures (height, width), every second one with its own wording."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(count):
        low = rng.integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
        source, target = (np.asarray(Image.fromarray(one).resize(size[::-1])) for one in low)
        words = (f"make it look like number {index}",) if index % 2 else ("turn it blue",)
        pairs.append(
            Pair(
                f"pair {index}",
                PictureBytes(f"{index}-before.png", png(source)),
                PictureBytes(f"{index}-after.png", png(target)),
                words,
                caption=f"number {index}",
                edited_caption=f"number {index}, edited",
            )
        )
    return pairs


def write(layout: str, folder: Path, pairs: list[Pair]) -> Path:
    """Write `pairs` in a layout; the place to read them from."""
    folder.mkdir(parents=True)
    return WRITERS[layout](folder, pairs)


def _official(folder: Path, pairs: list[Pair]) -> Path:
    seeds = []
    for index, pair in enumerate(pairs):
        place = folder / f"{index:07d}"
        place.mkdir()
        # The published files say `input`, what the generator writes says `caption`.
        caption = {"caption" if index % 2 else "input": pair.caption}
        prompt = {**caption, "edit": pair.instruction, "output": pair.edited_caption, "url": ""}
        (place / "prompt.json").write_text(json.dumps(prompt))
        # JPEG there; PNG bytes under the name keep the pixels equal, and readers go by content.
        (place / f"{1000 + index}_0.jpg").write_bytes(pair.source.read())
        (place / f"{1000 + index}_1.jpg").write_bytes(pair.target.read())
        seeds.append([place.name, [str(1000 + index)]])
    (folder / "seeds.json").write_text(json.dumps(seeds))
    return folder


def _files(folder: Path, pairs: list[Pair]) -> list[tuple[str, str]]:
    for index, pair in enumerate(pairs):
        (folder / f"{index}_a.png").write_bytes(pair.source.read())
        (folder / f"{index}_b.png").write_bytes(pair.target.read())
    return [(f"{index}_a.png", f"{index}_b.png") for index in range(len(pairs))]


def _jsonl(folder: Path, pairs: list[Pair]) -> Path:
    rows = [
        {"source_img": a, "target_img": b, "instruction": pair.instruction}
        for pair, (a, b) in zip(pairs, _files(folder, pairs), strict=True)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return folder / "pairs.jsonl"


def _csv(folder: Path, pairs: list[Pair]) -> Path:
    with (folder / "metadata.csv").open("w", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(["file_name", "edited_image_file_name", "text"])
        for pair, (a, b) in zip(pairs, _files(folder, pairs), strict=True):
            sheet.writerow([a, b, pair.instruction])
    return folder


def _hub(folder: Path, pairs: list[Pair]) -> Path:
    """As the official set lies on the Hub: two shards, pictures in structs, several row groups."""
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("original_prompt", pa.string()), ("original_image", picture)]
        + [("edit_prompt", pa.string()), ("edited_prompt", pa.string()), ("edited_image", picture)]
    )
    (folder / "data").mkdir()
    for shard, part in enumerate((pairs[:5], pairs[5:])):
        rows = [
            {
                "original_prompt": pair.caption,
                "original_image": {"bytes": pair.source.read(), "path": None},
                "edit_prompt": pair.instruction,
                "edited_prompt": pair.edited_caption,
                "edited_image": {"bytes": pair.target.read(), "path": None},
            }
            for pair in part
        ]
        path = folder / "data" / f"train-0000{shard}-of-00002.parquet"
        pa.parquet.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=2)
    return folder


def _two_folders(folder: Path, pairs: list[Pair]) -> Path:
    for name in ("before", "after"):
        (folder / name).mkdir()
    for index, pair in enumerate(pairs):
        (folder / "before" / f"{index}.png").write_bytes(pair.source.read())
        (folder / "after" / f"{index}.jpg").write_bytes(pair.target.read())
        (folder / "after" / f"{index}.txt").write_text("\n".join(pair.instructions) + "\n")
    return folder


def _saved(folder: Path, pairs: list[Pair]) -> Path:
    """As datasets' save_to_disk writes a DatasetDict."""
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("input_image", picture), ("edit_prompt", pa.string()), ("edited_image", picture)]
    )
    rows = [
        {
            "input_image": {"bytes": pair.source.read(), "path": None},
            "edit_prompt": pair.instruction,
            "edited_image": {"bytes": pair.target.read(), "path": None},
        }
        for pair in pairs
    ]
    (folder / "train").mkdir()
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (folder / "train" / "state.json").write_text("{}")
    table = pa.Table.from_pylist(rows, schema)
    with (
        pa.OSFile(str(folder / "train" / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, schema) as stream,
    ):
        stream.write_table(table)
    return folder


def _batch(folder: Path, pairs: list[Pair]) -> Path:
    """As `ip2p batch` leaves its folder, with one row that failed."""
    with (folder / "results.csv").open("w", newline="") as file:
        sheet = csv.DictWriter(file, ["row", "image", "instruction", "mask", "output", "state"])
        sheet.writeheader()
        for row, (pair, (a, b)) in enumerate(zip(pairs, _files(folder, pairs), strict=True)):
            done = dict(row=row, image=folder / a, instruction=pair.instruction, output=b)
            sheet.writerow(done | {"state": "done"})
        sheet.writerow(dict(row=99, image="gone.png", instruction="x", output="", state="failed"))
    return folder


def _written(folder: Path, pairs: list[Pair]) -> Path:
    path = write_pairs(pairs, folder)
    # It holds all there is.
    return Path(shutil.move(path, folder / "moved.parquet"))


WRITERS = {
    "official": _official,
    "jsonl": _jsonl,
    "imagefolder": _csv,
    "hub": _hub,
    "two folders": _two_folders,
    "datasets folder": _saved,
    "batch": _batch,
    "written": _written,
}
