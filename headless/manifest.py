"""The rows of a batch, read one by one from CSV, JSONL, Parquet or a folder.

A manifest is not trusted: lines and values are bounded, and output names cannot leave the output
folder. A row that is wrong becomes a `Row` with a `problem`; the others go on.
"""

from __future__ import annotations

import csv
import glob
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..edits.settings import SETTINGS
from .asked import MOST_SEEDS, Asked
from .errors import InputError
from .formats import format_named
from .names import default_name, safe_name, slug
from .picture import PICTURES

MAX_LINE = 1 << 20
MAX_TEXT = 10_000
MAX_MATCHES = 100_000
WORDS = ("preset", "value", "subject")
SWITCHES = ("only", "auto", "fast")
PARAMETERS = (*SETTINGS, *WORDS, *SWITCHES)
FILES = ("image", "instruction", "output", "mask")
NOTHING = Asked()
YES, NO = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True)
class Row:
    """One edit.

    image, mask  paths, absolute, or URLs
    output       the name below the output folder, with / between folders
    named        whether the manifest gave that name, so that no other may be taken
    longer_name  the name to take where the other is taken, which keeps the picture's extension
    parameters   as `Client.edit` takes them; `settings` likewise
    problem      what is wrong with the row; it cannot run then
    """

    number: int
    image: str = ""
    instruction: str = ""
    output: str = ""
    named: bool = False
    mask: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    longer_name: str = ""


def read_rows(
    manifest: Path, instruction: str | None = None, asked: Asked = NOTHING
) -> Iterator[Row]:
    """Every row of a manifest, or of all pictures in a folder.

    instruction  for folders, and for rows that have neither an instruction nor a preset; the value
                 of a preset that has none
    asked        for rows that do not say otherwise

    Columns: image (path, pattern or URL; relative to the manifest), instruction, output, mask,
    seeds, the names in PARAMETERS, and Title.input for any other input. Columns that begin with _
    are yours. Raises InputError where the file as a whole cannot be read.
    """
    if manifest.is_dir():
        if not instruction and "preset" not in asked.parameters:
            raise InputError(f"{manifest} is a folder: give the instruction for its pictures")
        base = manifest.absolute()
        found: Iterable[dict[str, Any] | str] = ({"image": found} for found in pictures(base))
    else:
        base = manifest.absolute().parent
        found = records(manifest)
    for number, record in enumerate(found, 1):
        if isinstance(record, str):
            yield Row(number, problem=record)
            continue
        try:
            yield from expand(number, record, base, instruction, asked)
        except InputError as error:
            yield Row(number, problem=str(error))


def pictures(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Every picture below a folder by name, without following links to folders.

    With each goes whether another of its folder differs by the extension alone.
    """
    try:
        with os.scandir(folder) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".")]
        files = [
            Path(entry.path)
            for entry in seen
            if Path(entry.name).suffix.lower() in PICTURES and entry.is_file()
        ]
        stems = Counter(slug(path.stem) for path in files)
        for path in sorted(files, key=by_name):
            yield path, stems[slug(path.stem)] > 1
        folders = [Path(entry.path) for entry in seen if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    for inner in sorted(folders, key=by_name):
        yield from pictures(inner)


def by_name(path: Path) -> tuple[str, str]:
    return path.name.casefold(), path.name


def records(manifest: Path) -> Iterator[dict[str, Any] | str]:
    """The rows as they stand in the file; a text in place of a row says what is wrong with it."""
    read = {".csv": csv_records, ".jsonl": jsonl_records, ".parquet": parquet_records}.get(
        manifest.suffix.lower()
    )
    if read is None:
        raise InputError(f"{manifest}: a manifest is a .csv, .jsonl or .parquet file, or a folder")
    try:
        with manifest.open("rb") as file:
            yield from read(file, manifest)
    except OSError as error:
        raise InputError(f"{manifest}: {error.strerror or error}") from None


def lines(file: BinaryIO, manifest: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise InputError(f"{manifest}: line {number} is longer than {MAX_LINE >> 20} MiB")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{manifest}: line {number} is not UTF-8") from None


def csv_records(file: BinaryIO, manifest: Path) -> Iterator[dict[str, Any] | str]:
    reader = csv.reader(lines(file, manifest), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if "image" not in header:
            raise InputError(f"{manifest}: the first line names the columns; one is image")
        if len(set(header)) < len(header):
            raise InputError(f"{manifest}: two columns have the same name")
        for cells in reader:
            if len(cells) == len(header):
                yield dict(zip(header, cells, strict=True))
            elif cells:
                yield f"{len(cells)} cells where the first line names {len(header)} columns"
    except csv.Error as error:
        raise InputError(f"{manifest}: line {reader.line_num}: {error}") from None


def jsonl_records(file: BinaryIO, manifest: Path) -> Iterator[dict[str, Any] | str]:
    for line in lines(file, manifest):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"not JSON: {error}"
            continue
        yield value if isinstance(value, dict) else "not a JSON object"


def parquet_records(file: BinaryIO, manifest: Path) -> Iterator[dict[str, Any] | str]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=1000):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, ValueError) as error:
        raise InputError(f"{manifest} is not a Parquet file that can be read: {error}") from None


def expand(
    number: int, record: Mapping[str, Any], base: Path, instruction: str | None, asked: Asked
) -> Iterator[Row]:
    """The edits of one record: one for each file that its pattern matches, and for each seed."""
    own, settings = columns(record)
    seeds = int(own.pop("seeds", asked.seeds))
    words = text(record, "instruction")
    if words and "preset" not in own:
        parameters = {k: v for k, v in asked.parameters.items() if k not in WORDS} | own
    else:
        parameters = asked.parameters | own
    preset = parameters.get("preset")
    if preset and not words and instruction:
        parameters.setdefault("value", instruction)
    elif not words:
        words = instruction or ""
    if bool(words.strip()) == bool(preset):
        raise InputError("the row needs either an instruction or a preset")
    label = words or f"{preset} {parameters.get('value', '')}"
    mask = text(record, "mask")
    where = located(mask, base) if mask else str(asked.mask.absolute()) if asked.mask else ""
    named = text(record, "output")
    found = list(sources(record, base))
    if named and len(found) * seeds > 1:
        raise InputError(f"output: one name for {len(found) * seeds} edits; leave it out")
    suffix = format_named(asked.format).suffix
    for path, folder, extension in found:
        for values in seeded(parameters, seeds):
            seed = values["seed"] if seeds > 1 else None
            short, longer = (
                folder + default_name(path, label, suffix=suffix, seed=seed, extension=told)
                for told in (extension, True)
            )
            output = safe_name(named) if named else short
            yield Row(
                *(number, path, words, output, bool(named), where),
                *(values, asked.settings | settings),
                longer_name=longer,
            )


def columns(record: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of a record, and its other inputs by title."""
    parameters, settings = {}, {}
    for name, value in record.items():
        if name.startswith("_") or value is None or value == "" or name in FILES:
            continue
        if name == "seeds":
            parameters[name] = how_many(value)
        elif name in PARAMETERS:
            parameters[name] = parameter(name, value)
        elif "." in name:
            settings[name] = value
        else:
            known = ", ".join([*FILES, "seeds", *PARAMETERS])
            raise InputError(
                f"unknown column {name[:80]!r}; known are {known}, Title.input, and _anything"
            )
    return parameters, settings


def sources(record: Mapping[str, Any], base: Path) -> Iterator[tuple[str, str, bool]]:
    """The pictures of a record.

    With each goes the folder below the results that its edit goes into, and whether the name of
    the edit keeps the picture's extension.
    """
    image = record.get("image")
    if isinstance(image, tuple):  # from `pictures`
        path, extension = image
        inner = path.relative_to(base).parent.as_posix()
        yield str(path), "" if inner == "." else inner + "/", extension
        return
    named = text(record, "image")
    if not named:
        raise InputError("the row names no image")
    for found in matches(named, base):
        yield found, "", False


def text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{name}: expected text, got {type(value).__name__}")
    if len(value) > MAX_TEXT:
        raise InputError(f"{name}: more than {MAX_TEXT} characters")
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise InputError(f"{name}: has characters that no text has")
    return value


def parameter(name: str, value: Any) -> Any:
    """A setting of its own type, or a word for a preset. Raises InputError where it does not fit.

    A name from a list of the server is compared with that list later.
    """
    if name in WORDS:
        return text({name: str(value)}, name)
    if name in SWITCHES:
        return switch(name, value)
    try:
        return SETTINGS[name].checked(value)
    except ValueError as error:
        raise InputError(str(error)) from None


def switch(name: str, value: Any) -> bool:
    """Whether a cell says yes. Raises InputError where it says neither yes nor no."""
    said = str(value).strip().lower()
    if said not in (*YES, *NO):
        raise InputError(f"{name}: got {str(value)[:80]!r}; write yes or no")
    return said in YES


def how_many(value: Any) -> int:
    """The number of seeds in a cell."""
    if isinstance(value, bool) or not str(value).isdecimal() or not 1 <= int(value) <= MOST_SEEDS:
        raise InputError(f"seeds: got {str(value)[:80]!r}; give 1 to {MOST_SEEDS}")
    return int(value)


def is_url(image: str) -> bool:
    return image.startswith(("http://", "https://"))


def located(image: str, base: Path) -> str:
    return image if is_url(image) else os.path.join(base, os.path.expanduser(image))


def matches(image: str, base: Path) -> Iterable[str]:
    path = located(image, base)
    if is_url(image) or not glob.has_magic(image) or os.path.exists(path):
        return [path]
    found = sorted(islice(glob.iglob(path, recursive=True), MAX_MATCHES))
    if not found:
        raise InputError(f"image: nothing matches {image!r}")
    if len(found) == MAX_MATCHES:
        raise InputError(f"image: {MAX_MATCHES} files or more match {image!r}; use a folder")
    return found


def seeded(parameters: Mapping[str, Any], seeds: int) -> Iterator[dict[str, Any]]:
    """The parameters of the same edit with so many seeds, from its own on."""
    if seeds == 1:
        yield dict(parameters)
        return
    first = parameters.get("seed", SETTINGS["seed"].default)
    for number in range(seeds):
        yield {**parameters, "seed": (first + number) % 2**64}  # seeds are numbers of 64 bits
