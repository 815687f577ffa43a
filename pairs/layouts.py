"""The layouts in which people have pairs, each read into a list of `Pair`. No picture is decoded.

the official set    seeds.json, <id>/prompt.json, <id>/<seed>_0.jpg and <seed>_1.jpg
a table             parquet, jsonl or csv: a file, or a folder that holds one
two folders         before/ and after/ with equal file names, texts beside the pictures
a datasets folder   what datasets' save_to_disk wrote
an ip2p batch       results.parquet or results.csv, a table whose rows are edits
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .pair import Pair, PairsError, PictureFile, inside
from .table import TABLES, PictureCell, Table, read_table

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
BEFORE = ("before", "source", "input", "original", "control", "a")
AFTER = ("after", "target", "edited", "output", "b")
# What columns are called, the surest name first. `_file_name` behind a name is left out.
COLUMNS: dict[str, tuple[str, ...]] = {
    "source": ("source_img", "input_image", "original_image", "source", "before", "image")
    + ("input", "file_name"),
    "target": ("target_img", "edited_image", "target", "after", "output", "ground_truth_image")
    + ("cartoonized_image", "edited"),
    "instruction": ("wordings", "instruction", "edit_prompt", "edit", "prompt", "caption", "text"),
    "mask": ("mask_img", "mask"),
    "caption": ("input_prompt", "original_prompt", "input", "input_caption", "caption"),
    "edited_caption": ("edited_prompt", "output", "output_caption"),
    "origin": ("origin", "img_id"),
    "split": ("split",),
    "state": ("state",),
}
NEEDED = ("source", "target", "instruction")
HELD_OUT = ("held-out", "heldout", "test", "val", "valid", "validation", "dev", "eval")
# The tables that a folder may hold, the one that is meant first.
TABLE_NAMES = ("pairs.parquet", "metadata.parquet", "metadata.jsonl", "metadata.csv") + (
    "results.parquet",
    "results.csv",
)
LAYOUTS = (
    "the official seeds.json with its folders; a table (.parquet, .jsonl or .csv) with columns for "
    "the picture before, the picture after and the instruction; two folders before/ and after/ "
    "with equal file names; a folder that datasets saved; or the results of `ip2p batch`"
)


def read_pairs(
    place: Path, columns: Mapping[str, str] | None = None, below: Path | None = None
) -> list[Pair]:
    """The pairs at `place`, a file or a folder in any of the five layouts.

    columns  the column of a table that holds a role (source, target, instruction, ...), where its
             name is none of those that are known
    below    a folder that the files which a table or a seeds.json names must not leave, such as a
             server's input folder; None lets them lie anywhere

    Raises PairsError, which names the place and says what is wrong with it.
    """
    columns = columns or {}
    if unknown := [role for role in columns if role not in COLUMNS]:
        raise PairsError(
            f"column {unknown[0]!r} is not part of a pair: name one of {', '.join(COLUMNS)}."
        )
    if not place.exists():
        raise PairsError(f"{place}: there is no such file or folder.")
    pairs = list(_detected(place, columns, below))
    if not pairs:
        raise PairsError(f"{place}: it holds no pairs.")
    return pairs


def _detected(place: Path, columns: Mapping[str, str], below: Path | None) -> Iterator[Pair]:
    if place.is_file():
        if place.name == "seeds.json":
            return official(place.parent, below)
        if place.suffix.lower() in TABLES:
            return from_tables([place], columns, below)
        raise PairsError(
            f"{place}: pairs are not read from {place.suffix or 'such'} files. {_ask()}"
        )
    if (place / "seeds.json").is_file():
        return official(place, below)
    if (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
        return from_tables(sorted(place.rglob("data-*.arrow")), columns, below)
    if tables := _tables(place):
        return from_tables(tables, columns, below)
    if folders := _two_folders(place):
        return by_name(*folders)
    raise PairsError(f"{place}: no pairs are found in this folder. {_ask()}")


def _ask() -> str:
    return f"Give one of these: {LAYOUTS}."


def official(folder: Path, below: Path | None) -> Iterator[Pair]:
    """The authors' own set. All pairs of one prompt share an origin.

    Splits are by position, as in their edit_dataset.py: 90 % of the prompts train; the rest, their
    validation and test, is held out.
    """
    index = folder / "seeds.json"
    listed = _json(index)
    if not isinstance(listed, list) or not all(_is_entry(entry) for entry in listed):
        raise PairsError(f"{index}: expected a list of [folder, [seeds]].")
    trained = int(0.9 * len(listed))
    for number, (name, seeds) in enumerate(listed):
        place = folder / name
        prompt = _json(inside(place / "prompt.json", below, str(index)))
        if not isinstance(prompt, dict) or not isinstance(prompt.get("edit"), str):
            raise PairsError(f"{place / 'prompt.json'}: expected an object with a text `edit`.")
        for seed in seeds:
            yield Pair(
                f"{name}/{seed}",
                PictureFile(inside(place / f"{seed}_0.jpg", below, str(index))),
                PictureFile(inside(place / f"{seed}_1.jpg", below, str(index))),
                (prompt["edit"],),
                # The published files say `input`, the generator writes `caption`.
                caption=str(prompt.get("input") or prompt.get("caption") or ""),
                edited_caption=str(prompt.get("output") or ""),
                origin=name,
                split="train" if number < trained else "held-out",
            )


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and isinstance(entry[1], list)
    )


def from_tables(
    paths: Sequence[Path], columns: Mapping[str, str], below: Path | None
) -> Iterator[Pair]:
    """The rows of tables with equal columns; a `split` may also lie in the names of the files."""
    for path in paths:
        table = read_table(path)
        place = find_columns(table, columns)
        names = [f"{path.name} row {number}" for number in range(1, len(table) + 1)]
        sources = table.cells(place["source"])
        targets = table.cells(place["target"])
        masks = table.cells(place["mask"]) if "mask" in place else None
        texts = {role: table.values(place[role]) for role in place if role not in PICTURE_ROLES}
        scores = {name: table.values(name) for name in table.numbers if name not in place.values()}
        for row, name in enumerate(names):
            if "state" in texts and texts["state"][row] not in (None, "done"):
                continue  # an edit of a batch that failed
            yield Pair(
                name,
                PictureCell(sources[row], path, f"{name}, {place['source']}", below),
                PictureCell(targets[row], path, f"{name}, {place['target']}", below),
                _wordings(texts["instruction"][row]),
                caption=_text(texts, "caption", row),
                edited_caption=_text(texts, "edited_caption", row),
                mask=PictureCell(masks[row], path, f"{name}, {place['mask']}", below)
                if masks
                else None,
                origin=_text(texts, "origin", row),
                split=_split(_text(texts, "split", row) or _split_of_file(path)),
                scores={key: float(v[row]) for key, v in scores.items() if v[row] is not None},
            )


PICTURE_ROLES = ("source", "target", "mask")


def find_columns(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """The column of each role that the table has. Raises PairsError where one is missing."""
    present = {name.lower().removesuffix("_file_name"): name for name in table.columns}
    found: dict[str, str] = {}
    for role, aliases in COLUMNS.items():
        if role in columns:
            if columns[role] not in table.columns:
                raise PairsError(
                    f"{table.path}: there is no column {columns[role]!r} for the {role}; it has "
                    f"{', '.join(table.columns)}."
                )
            found[role] = columns[role]
            continue
        taken = {*found.values(), *columns.values()}
        free = (present[name] for name in aliases if name in present)
        name = next((name for name in free if name not in taken), None)
        if name is not None:
            found[role] = name
    missing = [role for role in NEEDED if role not in found]
    if missing:
        raise PairsError(
            f"{table.path}: no column for the {' and the '.join(missing)}; it has "
            f"{', '.join(table.columns) or 'none'}. Say which with --column {missing[0]}=NAME."
        )
    return found


def _wordings(value: Any) -> tuple[str, ...]:
    """A cell of text, or of a list of texts; ("",) where it is empty, which the checks report."""
    texts = value if isinstance(value, (list, tuple)) else [value]
    return tuple(text.strip() for text in texts if isinstance(text, str) and text.strip()) or ("",)


def _text(texts: dict[str, list[Any]], role: str, row: int) -> str:
    value = texts[role][row] if role in texts else None
    return "" if value is None else str(value)


def _split(name: str) -> str:
    if not name:
        return ""
    return "held-out" if name.lower() in HELD_OUT else "train"


def _split_of_file(path: Path) -> str:
    """train-00000-of-00005.parquet and test/data-00000-of-00001.arrow tell their split."""
    first = path.stem.split("-")[0].lower()
    if first == "data":
        first = path.parent.name.lower()
    return first if first in (*HELD_OUT, "train") else ""


def _tables(folder: Path) -> list[Path]:
    """The table that a folder is about, or all shards of one."""
    for name in TABLE_NAMES:
        if (folder / name).is_file():
            return [folder / name]
    for place in (folder, folder / "data"):
        for suffix in (".parquet", ".jsonl", ".csv"):
            if found := sorted(place.glob(f"*{suffix}")):
                return found
    return []


def _two_folders(folder: Path) -> tuple[Path, Path] | None:
    below = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    before = next((below[name] for name in BEFORE if name in below), None)
    after = next((below[name] for name in AFTER if name in below), None)
    return (before, after) if before and after else None


def by_name(before: Path, after: Path) -> Iterator[Pair]:
    """Pictures of equal names in two folders.

    The instruction is in `<name>.txt` beside the picture after or before, or for all of them in one
    `instructions.txt` beside the folders or in one of them; each line is one wording.
    """
    sources, targets = _pictures(before), _pictures(after)
    common = sorted(sources.keys() & targets.keys())
    for names, here, there in ((sources, before, after), (targets, after, before)):
        lonely = sorted(names.keys() - set(common))
        if lonely:
            raise PairsError(
                f"{names[lonely[0]]} has no picture of the same name in {there}"
                + (f", nor have {len(lonely) - 1} others in {here}" if len(lonely) > 1 else "")
                + ". Pairs need equal names; add the pictures or move these away."
            )
    for name in common:
        texts = [folder / f"{name}.txt" for folder in (after, before)]
        texts += [folder / "instructions.txt" for folder in (after.parent, after, before)]
        text = next((path for path in texts if path.is_file()), None)
        if text is None:
            raise PairsError(
                f"{targets[name]} has no instruction: write it into {after / name}.txt, or one for "
                f"all pictures into {after.parent / 'instructions.txt'}."
            )
        try:
            lines = text.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PairsError(f"{text} is not a text in UTF-8 ({error}).") from error
        yield Pair(name, PictureFile(sources[name]), PictureFile(targets[name]), _wordings(lines))


def _pictures(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES:
            if path.stem in found:
                raise PairsError(f"{path} and {found[path.stem]} have one name: keep one of them.")
            found[path.stem] = path
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PairsError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise PairsError(f"{path} is not valid JSON ({error}).") from error
