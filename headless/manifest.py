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
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..edits.settings import SETTINGS
from .errors import InputError
from .names import default_name, safe_name, slug
from .picture import PICTURES

MAX_LINE = 1 << 20
MAX_TEXT = 10_000
MAX_MATCHES = 100_000
WORDS = ("preset", "value", "subject")
PARAMETERS = (*SETTINGS, *WORDS)


@dataclass(frozen=True)
class Row:
    """One edit.

    image, mask  paths, absolute, or URLs
    output       the name below the output folder, with / between folders, ending in .png
    named        whether the manifest gave that name, so that no other may be taken
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

    @property
    def label(self) -> str:
        """The words that name the result."""
        preset, value = (self.parameters.get(name, "") for name in ("preset", "value"))
        return self.instruction or f"{preset} {value}"


def read_rows(
    manifest: Path, instruction: str | None = None, defaults: Mapping[str, Any] | None = None
) -> Iterator[Row]:
    """Every row of a manifest, or of all pictures in a folder.

    instruction  for folders, and for rows that have neither an instruction nor a preset
    defaults     parameters for rows that do not give them

    Columns: image (path, pattern or URL; relative to the manifest), instruction, output, mask, the
    names in PARAMETERS, and Title.input for any other input. Columns that begin with _ are yours.
    Raises InputError where the file as a whole cannot be read.
    """
    common = dict(defaults or {})
    if manifest.is_dir():
        if not instruction:
            raise InputError(f"{manifest} is a folder: give the instruction for its pictures")
        for number, (path, told) in enumerate(pictures(manifest), 1):
            inner = path.relative_to(manifest).parent.as_posix()
            name = default_name(str(path), instruction, extension=told)
            name = name if inner == "." else f"{inner}/{name}"
            yield Row(number, str(path.absolute()), instruction, name, parameters=common)
        return
    for number, record in enumerate(records(manifest), 1):
        if isinstance(record, str):
            yield Row(number, problem=record)
            continue
        try:
            yield from expand(number, record, manifest.absolute().parent, instruction, common)
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
    number: int,
    record: Mapping[str, Any],
    base: Path,
    instruction: str | None,
    defaults: Mapping[str, Any],
) -> Iterator[Row]:
    """The edits of one record: one, or one for each file that its pattern matches."""
    parameters, settings = dict(defaults), {}
    for name, value in record.items():
        if name.startswith("_") or value is None or value == "":
            continue
        if name in ("image", "instruction", "output", "mask"):
            continue
        if name in PARAMETERS:
            parameters[name] = parameter(name, value)
        elif "." in name:
            settings[name] = value
        else:
            known = ", ".join(["image", "instruction", "output", "mask", *PARAMETERS])
            raise InputError(
                f"unknown column {name[:80]!r}; known are {known}, Title.input, and _anything"
            )
    image, mask = text(record, "image"), text(record, "mask")
    words = text(record, "instruction")
    preset = parameters.get("preset")
    if not words and not preset:
        words = instruction or ""
    if not image:
        raise InputError("the row names no image")
    if bool(words.strip()) == bool(preset):
        raise InputError("the row needs either an instruction or a preset")
    named = text(record, "output")
    found = list(matches(image, base))
    if named and len(found) > 1:
        raise InputError(f"output: one name for the {len(found)} files that {image!r} matches")
    for path in found:
        row = Row(
            number,
            path,
            words,
            safe_name(named) if named else "",
            bool(named),
            located(mask, base) if mask else "",
            parameters,
            settings,
        )
        yield row if named else replace(row, output=default_name(path, row.label))


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
    try:
        return SETTINGS[name].checked(value)
    except ValueError as error:
        raise InputError(str(error)) from None


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
