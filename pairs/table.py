"""Tables of pairs: parquet, arrow, jsonl and csv, read by column, and the one table that we write.

pyarrow reads the first two. ComfyUI does not bring it; without it jsonl, csv and folders work.
"""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from .pair import Pair, PairsError, Picture, PictureBytes, PictureFile, inside

TABLES = (".parquet", ".arrow", ".jsonl", ".csv")
# Rows of one group in the table that we write: so many pictures are in memory at once.
ROWS = 64
# The names that diffusers' script looks for.
WRITTEN = ("input_image", "edited_image", "edit_prompt", "input_prompt", "edited_prompt")


class Table(Protocol):
    """Rows that are read by column, so that texts can be had without the pictures."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> list[str]: ...

    @property
    def numbers(self) -> list[str]:
        """The columns that hold numbers alone."""

    def __len__(self) -> int: ...

    def values(self, column: str) -> list[Any]:
        """A whole column of texts or numbers."""

    def cells(self, column: str) -> list[Cell]:
        """A whole column of pictures, none of them read yet."""


class Cell(Protocol):
    """One cell: a path, the encoded bytes, or datasets' {bytes, path}."""

    def value(self) -> Any: ...


@dataclass(frozen=True)
class TextTable:
    """A csv or jsonl file, in memory."""

    path: Path
    rows: list[dict[str, Any]]

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def numbers(self) -> list[str]:
        return [
            name
            for name in self.columns
            if all(type(row.get(name)) in (int, float) for row in self.rows)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def values(self, column: str) -> list[Any]:
        return [row.get(column) for row in self.rows]

    def cells(self, column: str) -> list[Cell]:
        return [TextCell(row.get(column)) for row in self.rows]


@dataclass(frozen=True)
class TextCell:
    content: Any

    def value(self) -> Any:
        return self.content


class ParquetTable:
    """A parquet file. Of each column of pictures one group of rows is in memory at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = import_pyarrow(path).ParquetFile(path, memory_map=True)
        self.lock = threading.Lock()
        self.loaded: dict[str, tuple[int, Any]] = {}

    @property
    def columns(self) -> list[str]:
        return list(self.file.schema_arrow.names)

    @property
    def numbers(self) -> list[str]:
        return _number_columns(self.file.schema_arrow)

    def __len__(self) -> int:
        return int(self.file.metadata.num_rows)

    def values(self, column: str) -> list[Any]:
        return self.file.read([column])[column].to_pylist()

    def cells(self, column: str) -> list[Cell]:
        groups = range(self.file.num_row_groups)
        return [
            ParquetCell(self, column, group, row)
            for group in groups
            for row in range(self.file.metadata.row_group(group).num_rows)
        ]

    def read(self, column: str, group: int, row: int) -> Any:
        with self.lock:
            held, values = self.loaded.get(column, (-1, None))
            if held != group:
                values = self.file.read_row_group(group, [column])[column]
                self.loaded[column] = group, values
            return values[row].as_py()


@dataclass(frozen=True)
class ParquetCell:
    table: ParquetTable
    column: str
    group: int
    row: int

    def value(self) -> Any:
        return self.table.read(self.column, self.group, self.row)


class ArrowTable:
    """A file of a folder that `datasets` saved, memory-mapped."""

    def __init__(self, path: Path) -> None:
        import_pyarrow(path)
        import pyarrow

        self.path = path
        self.table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))).read_all()

    @property
    def columns(self) -> list[str]:
        return list(self.table.column_names)

    @property
    def numbers(self) -> list[str]:
        return _number_columns(self.table.schema)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def values(self, column: str) -> list[Any]:
        return self.table[column].to_pylist()

    def cells(self, column: str) -> list[Cell]:
        return [ArrowCell(self.table[column], row) for row in range(self.table.num_rows)]


@dataclass(frozen=True)
class ArrowCell:
    column: Any = field(repr=False)
    row: int

    def value(self) -> Any:
        return self.column[self.row].as_py()


@dataclass(frozen=True)
class PictureCell:
    """A picture in a table. Paths count from the table's folder, else from the current one.

    below  the folder in which its file must be, None for any
    """

    cell: Cell
    table: Path
    label: str
    below: Path | None = None

    @property
    def name(self) -> str:
        return self.label

    @property
    def stamp(self) -> str:
        # A text holds a path, whose file may change; what is packed changes with its file.
        packed = not isinstance(self.cell, TextCell)
        return f"{PictureFile(self.table).stamp} {self.label}" if packed else self._found().stamp

    def read(self) -> bytes:
        return self._found().read()

    def _found(self) -> Picture:
        value = self.cell.value()
        content, path = value, value
        if isinstance(value, dict):
            content, path = value.get("bytes"), value.get("path")
        if isinstance(content, bytes) and content:
            return PictureBytes(self.label, content)
        if isinstance(path, str) and path:
            beside = self.table.parent / path
            there = inside(beside, self.below, self.label)  # before the disk is asked about it
            return PictureFile(there if self.below or there.exists() else Path(path))
        raise PairsError(f"{self.label} holds no picture.")


def read_table(path: Path) -> Table:
    """The table in a file, by its suffix. Raises PairsError for one that cannot be read."""
    readers: dict[str, Callable[[Path], Table]] = {
        ".parquet": ParquetTable,
        ".arrow": ArrowTable,
        ".jsonl": _jsonl,
        ".csv": _csv,
    }
    try:
        return readers[path.suffix.lower()](path)
    except PairsError:
        raise
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PairsError(f"{path} cannot be read as a table ({error}).") from error
    except ValueError as error:  # pyarrow's own errors are such
        raise PairsError(f"{path} is not a {path.suffix[1:]} file ({error}).") from error


def import_pyarrow(path: Path) -> Any:
    """pyarrow.parquet, or a sentence on what to do without it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise PairsError(
            f"{path}: {path.suffix[1:]} files are read by pyarrow, which this Python does not "
            "have. Install it (pip install pyarrow), or give the pairs as jsonl, csv or folders."
        ) from error
    return pyarrow.parquet


def _number_columns(schema: Any) -> list[str]:
    from pyarrow import types

    return [f.name for f in schema if types.is_integer(f.type) or types.is_floating(f.type)]


def _jsonl(path: Path) -> TextTable:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise PairsError(f"{path}, line {number}: not valid JSON ({error}).") from error
        if not isinstance(row, dict):
            raise PairsError(f"{path}, line {number}: expected an object, got {line[:40]!r}.")
        rows.append(row)
    return TextTable(path, rows)


def _csv(path: Path) -> TextTable:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return TextTable(path, list(csv.DictReader(file, strict=True)))


def write_pairs(pairs: Iterable[Pair], folder: Path) -> Path:
    """Write `folder`/pairs.parquet, which holds the pictures as they were encoded; its path.

    `datasets` and diffusers' script read it unchanged: input_image, edit_prompt, edited_image, and
    input_prompt, edited_prompt, wordings, origin, split and the pairs' scores beside. Pairs are
    taken one group of rows at a time, and the file has its name only when it is whole. Raises
    PairsError where the disk is full or pyarrow is missing.
    """
    path = folder / "pairs.parquet"
    parquet = import_pyarrow(path)
    part = path.with_suffix(".part")
    remaining = iter(pairs)
    first = list(islice(remaining, ROWS))
    if not first:
        raise PairsError(f"{folder}: there are no pairs to write.")
    schema = _schema(sorted({name for pair in first for name in pair.scores}))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(part, schema) as writer:
            for rows in _groups(first, remaining):
                writer.write_table(_as_arrow(rows, schema))
        os.replace(part, path)
    except OSError as error:
        raise PairsError(f"{path} cannot be written ({error.strerror or error}).") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _groups(first: list[Pair], remaining: Iterator[Pair]) -> Iterator[list[Pair]]:
    while first:
        yield first
        first = list(islice(remaining, ROWS))


def _schema(scores: Sequence[str]) -> Any:
    import pyarrow as pa

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    kinds = [picture, picture, pa.string(), pa.string(), pa.string()]
    features = {
        "input_image": {"_type": "Image"},
        "edited_image": {"_type": "Image"},
        **{name: {"dtype": "string", "_type": "Value"} for name in WRITTEN[2:]},
        "wordings": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
        **{name: {"dtype": "string", "_type": "Value"} for name in ("origin", "split")},
        **{name: {"dtype": "float64", "_type": "Value"} for name in scores},
    }
    return pa.schema(
        [
            *zip(WRITTEN, kinds, strict=True),
            ("wordings", pa.list_(pa.string())),
            ("origin", pa.string()),
            ("split", pa.string()),
            *((name, pa.float64()) for name in scores),
        ],
        # By which `datasets` knows the pictures as pictures.
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def _as_arrow(pairs: list[Pair], schema: Any) -> Any:
    import pyarrow as pa

    rows = []
    for pair in pairs:
        pictures = [
            {"bytes": picture.read(), "path": Path(picture.name).name}
            for picture in (pair.source, pair.target)
        ]
        texts = [pair.instruction, pair.caption, pair.edited_caption]
        rows.append(
            {
                **dict(zip(WRITTEN, [*pictures, *texts], strict=True)),
                "wordings": list(pair.instructions),
                "origin": pair.group,
                "split": pair.split,
                **pair.scores,
            }
        )
    return pa.Table.from_pylist(rows, schema)
