"""What a batch leaves beside its pictures: results.csv, results.parquet and contact.html."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from .files import write_whole
from .ledger import Entry, Ledger
from .manifest import is_url

COLUMNS = (
    *("row", "image", "instruction", "mask", "output", "state", "seconds", "error"),
    *("parameters", "settings", "key", "notes", "texts"),
)
THUMBS = ".contact"
THUMB = 256

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222226; }}
table {{ border-collapse: collapse; }}
th {{ text-align: left; cursor: pointer; border-bottom: 2px solid #d8d8de; }}
th:hover {{ color: #2a5bd7; }}
th, td {{ padding: .4rem .8rem; }}
td {{ border-bottom: 1px solid #ececf0; vertical-align: middle; }}
img {{ max-width: {thumb}px; max-height: {thumb}px; display: block; }}
.failed {{ color: #b3261e; }}
p {{ color: #6b6b74; }}
</style>
<h1>{title}</h1>
<p>{summary} Click on a heading to sort.</p>
<table>
<thead><tr><th>row<th>before<th>after<th>instruction<th>state<th>seconds</tr></thead>
<tbody>
"""
SCRIPT = """</tbody></table>
<script>
document.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
  const body = document.querySelector("tbody");
  const value = (row) => row.cells[column].dataset.value;
  const down = head.dataset.down = head.dataset.down === "1" ? "" : "1";
  [...body.rows].sort((a, b) => {
    const [x, y] = down ? [value(a), value(b)] : [value(b), value(a)];
    return x.localeCompare(y, undefined, {numeric: true});
  }).forEach((row) => body.append(row));
}));
</script>
"""


def record(entry: Entry) -> dict[str, Any]:
    """One row of the final manifest."""
    values = (
        *(entry.number, entry.image, entry.instruction, entry.mask, entry.output, entry.state),
        *(entry.seconds, entry.error or ""),
        json.dumps(entry.parameters, sort_keys=True),
        json.dumps(entry.settings, sort_keys=True),
        entry.key or "",
        entry.notes,
        json.dumps(entry.texts, sort_keys=True),
    )
    return dict(zip(COLUMNS, values, strict=True))


def write_results(ledger: Ledger, folder: Path) -> None:
    """Write results.csv and results.parquet, a page of rows at a time."""
    import pyarrow
    import pyarrow.parquet

    kinds = {"row": pyarrow.int64(), "seconds": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    with (
        write_whole(folder / "results.csv") as table,
        write_whole(folder / "results.parquet") as packed,
    ):
        text = io.TextIOWrapper(table, encoding="utf-8", newline="", write_through=True)
        sheet = csv.DictWriter(text, COLUMNS)
        sheet.writeheader()
        with pyarrow.parquet.ParquetWriter(packed, schema) as parquet:
            entries = ledger.entries()
            while page := [record(entry) for entry in islice(entries, 10_000)]:
                sheet.writerows({k: plain(v) for k, v in row.items()} for row in page)
                parquet.write_table(pyarrow.Table.from_pylist(page, schema))
        text.detach()


def plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return "'" + value
    return value


def write_contact(ledger: Ledger, folder: Path, limit: int = 1000) -> None:
    """Write contact.html, with small pictures of the first `limit` rows before and after."""
    total = sum(ledger.counts().values())
    shown = f"{min(limit, total)} of {total} rows." if total > limit else f"{total} rows."
    title = html.escape(f"Edits in {folder.absolute().name}")
    with write_whole(folder / "contact.html") as file:
        file.write(PAGE.format(title=title, summary=shown, thumb=THUMB).encode())
        for entry in islice(ledger.entries(), limit):
            file.write("".join(cells(entry, folder)).encode("utf-8", "replace"))
        file.write(SCRIPT.encode())


def cells(entry: Entry, folder: Path) -> Iterator[str]:
    def cell(value: object, shown: str | None = None, kind: str = "") -> str:
        text = html.escape(str(value))
        name = f' class="{kind}"' if kind else ""
        return f'<td{name} data-value="{text}">{text if shown is None else shown}</td>'

    done = entry.state == "done"
    before = thumbnail(Path(entry.image), folder, f"{entry.n}-before.jpg") if done else None
    after = thumbnail(folder / entry.output, folder, f"{entry.n}-after.jpg") if done else None
    name = html.escape(entry.output)
    yield "<tr>" + cell(entry.number)
    yield cell(entry.image, f'<img src="{before}" loading="lazy" alt="">' if before else None)
    link = f'<a href="{name}"><img src="{after}" loading="lazy" alt="{name}"></a>'
    yield cell(entry.output, link if after else None)
    yield cell(entry.instruction)
    state = entry.state if done else f"{entry.state}: {entry.error or ''}"
    yield cell(state, kind="" if done else entry.state)
    yield cell("" if entry.seconds is None else f"{entry.seconds:.1f}") + "</tr>\n"


def thumbnail(picture: Path, folder: Path, name: str) -> str | None:
    """A small JPEG below the output folder, as the page names it; None for what is not a file."""
    if is_url(str(picture)) or not picture.is_file():
        return None
    small = folder / THUMBS / name
    if not small.is_file() or small.stat().st_mtime < picture.stat().st_mtime:
        try:
            with Image.open(picture) as opened:
                opened.thumbnail((2 * THUMB, 2 * THUMB))
                shown = ImageOps.exif_transpose(opened).convert("RGB")
            encoded = io.BytesIO()
            shown.save(encoded, "JPEG", quality=85)
        except (OSError, ValueError, SyntaxError):
            return None
        with write_whole(small) as file:
            file.write(encoded.getvalue())
    return f"{THUMBS}/{name}"
