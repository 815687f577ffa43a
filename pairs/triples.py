"""Triples: a caption, an instruction, and the caption after the edit; how they are written down."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

EXAMPLES = Path(__file__).with_name("examples.jsonl")


class Triple(NamedTuple):
    """As in the authors' files: `input` and `output` are captions, `edit` is the instruction."""

    input: str
    edit: str
    output: str


class TriplesError(ValueError):
    """A file of captions or triples that cannot be used; the message says which and why."""


def examples() -> list[Triple]:
    """Our own triples, which show a language model what is wanted."""
    return [triple for _, triple in read_triples(EXAMPLES)]


def read_triples(path: Path) -> Iterator[tuple[int, Triple]]:
    """The triples of a .jsonl with the keys input, edit, output, and the numbers of their lines.

    Raises TriplesError that names the line.
    """
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            triple = Triple(*(row[name] for name in Triple._fields))
        except (ValueError, TypeError, KeyError):
            raise TriplesError(
                f"{path}, line {number}: expected an object with input, edit and output"
            ) from None
        if not all(isinstance(text, str) and text.strip() for text in triple):
            raise TriplesError(f"{path}, line {number}: input, edit and output must be texts")
        yield number, triple


def read_captions(path: Path) -> list[str]:
    """One caption a line; or a .jsonl with the key caption or input. Repeats are left out."""
    captions: dict[str, None] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        caption = line.strip()
        if path.suffix.lower() == ".jsonl" and caption:
            try:
                row = json.loads(line)
                caption = str(row.get("caption") or row["input"]).strip()
            except (ValueError, AttributeError, KeyError):
                raise TriplesError(
                    f"{path}, line {number}: expected an object with a caption"
                ) from None
        if caption:
            captions.setdefault(caption)
    if not captions:
        raise TriplesError(f"{path}: it holds no captions")
    return list(captions)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TriplesError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise TriplesError(f"{path} is not a text in UTF-8") from None


@dataclass
class Answered:
    """What became of one caption: one line of the ledger.

    triples  what was kept
    refused  how many were refused by each rule
    failed   why there is no answer that could be read; "" where there is
    """

    caption: str
    triples: list[Triple] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    failed: str = ""

    @property
    def key(self) -> str:
        return hashlib.sha256(self.caption.encode()).hexdigest()[:32]


class TripleLedger:
    """All answers so far, one line each, in a file that only grows: what a resumed run reads.

    A line is whole or not there: what a kill left of the last one is cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answered] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file: BinaryIO = path.open("a+b")
            self._read()
        except OSError as error:
            raise TriplesError(f"{path} cannot be written ({error.strerror})") from None

    def _read(self) -> None:
        self.file.seek(0)
        whole = 0
        for line in self.file:
            try:
                row = json.loads(line)
                row["triples"] = [Triple(*triple) for triple in row["triples"]]
                answered = Answered(**row)
            except (ValueError, TypeError, KeyError):
                if line.endswith(b"\n"):
                    raise TriplesError(
                        f"{self.path} is not the ledger of `ip2p pairs write`; move it away"
                    ) from None
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self.answers[answered.key] = answered
        self.file.truncate(whole)

    def add(self, answered: Answered) -> None:
        """Write an answer down, on the disk when this returns. Raises TriplesError if it cannot."""
        line = json.dumps(asdict(answered) | {"triples": [list(t) for t in answered.triples]})
        try:
            self.file.write(line.encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise TriplesError(f"{self.path} cannot be written ({error.strerror})") from None
        self.answers[answered.key] = answered

    def refused(self) -> Counter[str]:
        """How many triples each rule refused, over all captions."""
        return sum((Counter(answer.refused) for answer in self.answers.values()), Counter())

    def triples(self) -> Iterator[Triple]:
        for answer in self.answers.values():
            yield from answer.triples

    def close(self) -> None:
        self.file.close()


def as_line(triple: Triple) -> str:
    return json.dumps(triple._asdict(), ensure_ascii=False) + "\n"
