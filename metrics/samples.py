"""What there is to measure: results with their sources, right answers, masks and captions.

One reader for each layout that people have. Files are opened when they are measured.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
# Our name of a column -> the names that people give it, ours first.
ALIASES: dict[str, tuple[str, ...]] = {
    "result": ("result", "output", "generated"),
    "source": ("source", "image", "input_image", "file_name"),
    "truth": ("truth", "target", "edited_image"),
    "mask": ("mask", "mask_img"),
    "caption": ("caption", "input_caption", "original_prompt", "input_prompt"),
    "edited_caption": ("edited_caption", "output_caption", "edited_prompt"),
    "instruction": ("instruction", "edit_prompt", "edit"),
    "group": ("group", "task", "split"),
    "name": ("name", "idx", "id"),
}


@dataclass(frozen=True)
class Sample:
    """One result and what is known of it.

    name            what reports call it
    group           results are averaged over groups: a task, a scale, a turn
    result          the picture that a model made
    source          the picture that it was made from
    truth           the right answer
    mask            a picture, white where the edit may change; or PIE-Bench's run lengths
    caption         what the source shows; `edited_caption` what the result should show
    """

    name: str
    result: Path
    group: str = "all"
    source: Path | None = None
    truth: Path | None = None
    mask: Path | tuple[int, ...] | None = None
    caption: str = ""
    edited_caption: str = ""
    instruction: str = ""


def read_table(path: Path) -> list[Sample]:
    """The rows of a .csv or .jsonl, or of the results.csv of `ip2p batch` in a folder.

    Columns by the names in ALIASES; paths are relative to the table. Rows of a batch that failed
    are left out. Raises ValueError that names the file, the row and what is missing.
    """
    table = path / "results.csv" if path.is_dir() else path
    samples = []
    for number, row in enumerate(records(table), 1):
        if row.get("state", "done") != "done":
            continue
        cells = {ours: cell for ours in ALIASES if (cell := _cell(row, ours))}
        if "result" not in cells:
            raise ValueError(
                f"{table}, row {number}: no result; a column {' or '.join(ALIASES['result'])} "
                "must name the picture that the model made"
            )
        samples.append(_sample(cells, table.parent, str(number)))
    if not samples:
        raise ValueError(f"{table} has no row that could be measured")
    return samples


def _sample(cells: Mapping[str, str], folder: Path, name: str) -> Sample:
    paths = {
        key: folder / cells[key] for key in ("result", "source", "truth", "mask") if key in cells
    }
    texts = {key: value for key, value in cells.items() if key not in paths}
    return Sample(**{"name": name, **paths, **texts})  # type: ignore[arg-type]


def _cell(row: Mapping[str, Any], ours: str) -> str:
    for theirs in ALIASES[ours]:
        value = row.get(theirs)
        if value is not None and str(value).strip():
            text = str(value)
            # `ip2p batch` writes '=... for what a spreadsheet would take for a formula.
            return text[1:] if text.startswith("'") and text[1:2] in "=+-@" else text
    return ""


def records(table: Path) -> Iterator[dict[str, Any]]:
    """The rows of a .csv or .jsonl. Raises ValueError where the file cannot be read."""
    try:
        if table.suffix.lower() == ".csv":
            with table.open(encoding="utf-8-sig", newline="") as file:
                yield from csv.DictReader(file)
        elif table.suffix.lower() == ".jsonl":
            with table.open(encoding="utf-8") as file:
                yield from (json.loads(line) for line in file if line.strip())
        else:
            raise ValueError(f"{table}: expected a .csv, a .jsonl, or the folder of a batch")
    except OSError as error:
        raise ValueError(f"{table} cannot be read ({error.strerror})") from None
    except (json.JSONDecodeError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is not a table that can be read ({error})") from None


def read_magicbrush(results: Path, truths: Path) -> list[Sample]:
    """MagicBrush's two folders (its evaluation/image_eval.py); groups "all turns", "final turn".

    results  <id>/<id>_1.png, <id>/<id>_inde_<k>.png, <id>/<id>_iter_<k>.png
    truths   <id>/*-input.png, <id>/*-output<k>.png, <id>/*-mask<k>.png, and local_captions.json
             {id: {file name of the output: caption}} there, if captions are to be measured

    Raises ValueError where the two do not fit together.
    """
    captions = read_json(truths / "local_captions.json") if truths.is_dir() else {}
    ids = {path.name for path in _folders(results)}
    if ids != (others := {path.name for path in _folders(truths)}):
        odd = sorted(ids ^ others)
        raise ValueError(
            f"{results} and {truths} must have folders of the same names; {odd[0]!r} and "
            f"{len(odd) - 1} more are in one of them only"
        )
    samples = []
    for number in sorted(ids):
        right, masks = numbered(truths / number, "output"), numbered(truths / number, "mask")
        if not right:
            raise ValueError(f"{truths / number}: no picture has 'output' in its name")
        sources = numbered(truths / number, "input") | {
            turn + 1: path for turn, path in right.items()
        }
        texts = captions.get(number, {})
        for turn, truth in right.items():
            stem = f"{number}_1" if turn == 1 else f"{number}_inde_{turn}"
            sample = Sample(
                f"{number}, turn {turn}",
                find_picture(results / number, stem),
                "all turns",
                source=sources.get(turn),
                truth=truth,
                mask=masks.get(turn),
                edited_caption=texts.get(truth.name, ""),
            )
            samples.append(sample)
        # The last turn from the model's own results, turn after turn; its source is not ours.
        if turn > 1:
            own = find_picture(results / number, f"{number}_iter_{turn}")
            sample = replace(
                sample, name=f"{number}, own turns", result=own, source=None, mask=None
            )
        samples.append(replace(sample, group="final turn"))
    return samples


def numbered(folder: Path, word: str) -> dict[int, Path]:
    """The pictures of a folder whose name has `word` and a number after it (1 for none)."""
    found = {}
    for path in _pictures(folder):
        if match := re.search(rf"{word}(\d*)", path.stem):
            found[int(match[1] or 1)] = path
    return dict(sorted(found.items()))


def read_emu(results: Path, table: Path) -> list[Sample]:
    """Results <idx>.png (or .jpg) for the Emu Edit test set, saved as a table; groups by task.

    table  a .csv or .jsonl with idx, image (a file), instruction, task, input_caption and
           output_caption, or a folder with a metadata.jsonl
    """
    table = table / "metadata.jsonl" if table.is_dir() else table
    samples = []
    for row in records(table):
        cells = {ours: cell for ours in ALIASES if (cell := _cell(row, ours))}
        if "name" not in cells:
            raise ValueError(f"{table}: a row has no idx, by which its result is found")
        cells["result"] = str(find_picture(results, cells["name"]).absolute())
        samples.append(_sample(cells, table.parent, cells["name"]))
    return samples


def read_pie(results: Path, folder: Path) -> list[Sample]:
    """Results at the paths of PIE-Bench's annotation_images/, beside its mapping_file.json.

    Groups by its ten types. Words in brackets are words of the caption.
    """
    samples = []
    for name, row in read_json(folder / "mapping_file.json").items():
        try:
            inner = Path(row["image_path"])
            samples.append(
                Sample(
                    name,
                    find_picture(results / inner.parent, inner.stem),
                    f"type {row['editing_type_id']}",
                    source=folder / "annotation_images" / inner,
                    mask=tuple(row["mask"]),
                    caption=re.sub(r"[\[\]]", "", row["original_prompt"]),
                    edited_caption=re.sub(r"[\[\]]", "", row["editing_prompt"]),
                    instruction=row["editing_instruction"],
                )
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{folder / 'mapping_file.json'}: {name!r} has no {error}") from None
    if not samples:
        raise ValueError(f"{folder / 'mapping_file.json'} is missing or empty")
    return samples


def find_picture(folder: Path, stem: str) -> Path:
    """The picture of that name in a folder, whatever its format. Raises ValueError for none."""
    for suffix in sorted(PICTURES):
        if (path := folder / f"{stem}{suffix}").is_file():
            return path
    raise ValueError(f"{folder} has no {stem}.png or .jpg; make the results first")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not JSON that can be read ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold one JSON object")
    return value


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    return sorted(inner for inner in path.iterdir() if inner.is_dir())


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
