"""What became of every row of a batch, in one SQLite file beside the results.

A row is `pending`, `running` (a server has it), `done` (its file is whole on the disk) or `failed`.
The file is locked while a batch runs, so that two never work in one folder.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..edits.settings import SETTINGS
from .errors import InputError, OutputError
from .manifest import SWITCHES, Row

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    n INTEGER PRIMARY KEY,
    ident BLOB NOT NULL UNIQUE,      -- the row's content, so that order and position do not matter
    number INTEGER NOT NULL,         -- its place in the manifest
    spec TEXT NOT NULL,              -- image, instruction, mask, parameters, settings as JSON
    output TEXT UNIQUE COLLATE NOCASE,
    plan INTEGER NOT NULL,           -- the last plan that had it
    state TEXT NOT NULL,
    prompt_id TEXT,                  -- under which a server may know it
    server TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    completions INTEGER NOT NULL DEFAULT 0,
    final INTEGER NOT NULL DEFAULT 0,  -- a failure that trying again cannot mend
    error TEXT,
    key TEXT,                        -- hash of all that the result depends on
    stamp TEXT,                      -- size and time of the inputs when `key` was computed
    size INTEGER,                    -- bytes of the result
    seconds REAL,
    notes TEXT,                      -- what its user should know of a row that is done
    texts TEXT                       -- what nodes have shown, by their titles, as JSON
);
CREATE TABLE IF NOT EXISTS written (output TEXT PRIMARY KEY COLLATE NOCASE);  -- files that are ours
CREATE INDEX IF NOT EXISTS work ON rows (plan, state, n);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT);
"""
PAGE = 1000
ASKED = (*(name for name, setting in SETTINGS.items() if setting.listed), "preset", *SWITCHES)


@dataclass
class Entry:
    """One row of the ledger."""

    n: int
    number: int
    output: str
    state: str
    prompt_id: str | None
    server: str | None
    attempts: int
    final: bool
    error: str | None
    key: str | None
    stamp: str | None
    size: int | None
    seconds: float | None
    notes: str
    texts: dict[str, str]
    image: str
    instruction: str
    mask: str
    parameters: dict[str, Any]
    settings: dict[str, Any]


class Ledger:
    """The open ledger of one output folder. Raises InputError if another batch has it open."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            self.db.row_factory = sqlite3.Row
            self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = NORMAL")
            self.db.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise InputError(
                    f"{path.parent}: another batch works in this folder, or has its ledger open"
                ) from None
            raise OutputError(f"cannot write {path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is not a ledger ({error}); move it away") from None
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from None
        self.plan = int(self.meta("plan") or 0)

    def close(self) -> None:
        self.db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def meta(self, name: str, value: str | None = None) -> str | None:
        """A remembered value; set first where one is given."""
        if value is not None:
            self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)
        found = self._execute("SELECT value FROM meta WHERE name = ?", name).fetchone()
        return found["value"] if found else None

    def begin_plan(self, rows: Iterable[Row]) -> tuple[int, int]:
        """Make the rows those of a new plan, in bounded memory; how many, and how many repeats.

        Rows that the ledger knows keep what became of them. Rows of old plans stay, and are not
        part of the batch. Either the whole plan is taken over, or nothing of it.
        """
        plan, count, repeats = self.plan + 1, 0, 0
        self._execute("BEGIN")
        try:
            for row in rows:
                spec = json.dumps(
                    [row.image, row.instruction, row.mask, row.parameters, row.settings],
                    sort_keys=True,
                )
                told_apart = row.output if row.named else ""
                if row.problem:
                    told_apart = f"{row.number}\0{row.problem}"
                ident = hashlib.sha256(f"{spec}\0{told_apart}".encode()).digest()[:16]
                known = self._execute("SELECT * FROM rows WHERE ident = ?", ident).fetchone()
                if known and known["plan"] == plan:
                    repeats += 1
                    continue
                count += 1
                if known and (known["output"] or row.problem):
                    self._execute(
                        "UPDATE rows SET plan = ?, number = ? WHERE n = ?",
                        *(plan, row.number, known["n"]),
                    )
                else:  # new, or without a name until now
                    self._execute("DELETE FROM rows WHERE ident = ?", ident)
                    self._insert(row, spec, ident, plan)
            self._execute("INSERT OR REPLACE INTO meta VALUES ('plan', ?)", str(plan))
            self._execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.rollback()
            raise
        self.plan = plan
        return count, repeats

    def _insert(self, row: Row, spec: str, ident: bytes, plan: int) -> None:
        output: str | None = row.output
        problem = row.problem
        holder = self._execute("SELECT n, plan FROM rows WHERE output = ?", output).fetchone()
        if holder and row.named and holder["plan"] == plan:
            problem = f"output: {output!r} is the name of another row"
        elif holder and row.named:
            # A row of an older plan gives the name up, and its file will be written over.
            self.update(holder["n"], output=None, state="pending", key=None)
        elif holder:
            # Another picture of the same name: its extension tells them apart, else its own hash.
            output = row.longer_name or row.output
            if self._execute("SELECT n FROM rows WHERE output = ?", output).fetchone():
                path = PurePosixPath(row.output)
                output = str(path.with_stem(f"{path.stem}-{ident.hex()[:8]}"))
        self._execute(
            "INSERT INTO rows (ident, number, spec, output, plan, state, final, error)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(ident, row.number, spec, None if problem else output, plan),
            *(("failed", 1, problem) if problem else ("pending", 0, None)),
        )

    def entries(self, *states: str) -> Iterator[Entry]:
        """The rows of the plan in these states (all by default), in order; may change meanwhile."""
        wanted = f" AND state IN ({','.join('?' * len(states))})" if states else ""
        last = -1
        while page := self._execute(
            f"SELECT * FROM rows WHERE plan = ? AND n > ?{wanted} ORDER BY n LIMIT {PAGE}",
            *(self.plan, last, *states),
        ).fetchall():
            yield from map(_entry, page)
            last = page[-1]["n"]

    def next_pending(self) -> Entry | None:
        found = self._execute(
            "SELECT * FROM rows WHERE plan = ? AND state = 'pending' ORDER BY n LIMIT 1", self.plan
        ).fetchone()
        return _entry(found) if found else None

    def asked(self) -> Iterator[tuple[int, int, dict[str, Any], dict[str, Any]]]:
        """What the pending rows ask of a server, each thing once.

        Yields the first such row's number, how many rows they are, and of their parameters those
        that decide the nodes or are names from a server's lists, with their settings.
        """
        named = ", ".join(f"'{name}', json_extract(spec, '$[3].{name}')" for name in ASKED)
        found = self._execute(
            "SELECT MIN(number) AS number, COUNT(*) AS many, json_extract(spec, '$[2]') != '' AS"
            f" masked, json_object({named}) AS parameters, json_extract(spec, '$[4]') AS settings"
            " FROM rows WHERE plan = ? AND state = 'pending' GROUP BY 3, 4, 5 ORDER BY 1",
            self.plan,
        )
        for row in found:
            parameters = {k: v for k, v in json.loads(row["parameters"]).items() if v is not None}
            if row["masked"] and not parameters.get("only"):
                parameters["mask"] = ""
            yield row["number"], row["many"], parameters, json.loads(row["settings"])

    def update(self, n: int, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        self._execute(f"UPDATE rows SET {names} WHERE n = ?", *values.values(), n)

    def complete(self, n: int, texts: Mapping[str, str], **values: Any) -> None:
        """Make a row done, once."""
        self.update(n, state="done", error=None, final=0, texts=json.dumps(texts), **values)
        self._execute("UPDATE rows SET completions = completions + 1 WHERE n = ?", n)

    def writes(self, output: str) -> None:
        """Remember that a file of this name is ours from now on."""
        self._execute("INSERT OR IGNORE INTO written VALUES (?)", output)

    def wrote(self, output: str) -> bool:
        found = self._execute("SELECT 1 FROM written WHERE output = ?", output).fetchone()
        return found is not None

    def counts(self) -> dict[str, int]:
        """How many rows of the plan are in each state."""
        found = self._execute(
            "SELECT state, COUNT(*) AS many FROM rows WHERE plan = ? GROUP BY state", self.plan
        )
        return {row["state"]: row["many"] for row in found}

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self.db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise OutputError(f"cannot write the ledger: {error}") from error


def _entry(row: sqlite3.Row) -> Entry:
    image, instruction, mask, parameters, settings = json.loads(row["spec"])
    return Entry(
        row["n"],
        row["number"],
        row["output"] or "",
        row["state"],
        row["prompt_id"],
        row["server"],
        row["attempts"],
        bool(row["final"]),
        row["error"],
        row["key"],
        row["stamp"],
        row["size"],
        row["seconds"],
        row["notes"] or "",
        json.loads(row["texts"] or "{}"),
        image,
        instruction,
        mask,
        parameters,
        settings,
    )
