"""Tables, the curve of figure 8, and a page with the pictures."""

from __future__ import annotations

import base64
import csv
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .measures import open_picture
from .samples import Sample

THUMB = 192
SHOWN = 200  # samples with their pictures on the page

STYLE = """<!doctype html><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222226; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ padding: .3rem .7rem; border-bottom: 1px solid #ececf0; text-align: left; }}
td:first-child {{ white-space: nowrap; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
img {{ display: block; max-width: {thumb}px; }}
p {{ color: #6b6b74; }}
</style><h1>{title}</h1>
"""


@dataclass(frozen=True)
class Row:
    """A sample and its values; None where it lacks what a measure needs."""

    sample: Sample
    values: dict[str, float | None]


@dataclass(frozen=True)
class Summary:
    """The means of a group over the samples that have the value."""

    group: str
    count: int
    means: dict[str, float | None]


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """One summary for each group, in the order in which the groups come."""
    groups = dict.fromkeys(row.sample.group for row in rows)
    return [_summary(group, [row for row in rows if row.sample.group == group]) for group in groups]


def _summary(group: str, rows: list[Row]) -> Summary:
    def mean(name: str) -> float | None:
        found = [value for row in rows if (value := row.values[name]) is not None]
        found = [value for value in found if value == value]  # no pixel outside the mask: NaN
        return sum(found) / len(found) if found else None

    return Summary(group, len(rows), {name: mean(name) for name in rows[0].values})


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """One line a sample."""
    names = list(rows[0].values)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "group", *names])
        for row in rows:
            writer.writerow([row.sample.name, row.sample.group, *(row.values[n] for n in names)])


def write_summary(path: Path, summaries: Sequence[Summary]) -> None:
    """One line a group."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "samples", *summaries[0].means])
        for summary in summaries:
            writer.writerow([summary.group, summary.count, *summary.means.values()])


def markdown(summaries: Sequence[Summary]) -> str:
    """The means as a table for docs; columns without any value are left out."""
    names = [n for n in summaries[0].means if any(s.means[n] is not None for s in summaries)]
    lines = [
        "| | samples | " + " | ".join(names) + " |",
        "| --- " * (len(names) + 2) + "|",
        *(
            f"| {s.group} | {s.count} | " + " | ".join(figure(s.means[n]) for n in names) + " |"
            for s in summaries
        ),
    ]
    return "\n".join(lines) + "\n"


def figure(value: float | None) -> str:
    """Four digits, as the published tables have them."""
    return "-" if value is None else f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}"


def plot(path: Path, summaries: Sequence[Summary], x: str, y: str) -> bool:
    """Draw one point a group and a line through them; whether there was anything to draw.

    matplotlib is not part of ComfyUI: without it nothing is drawn.
    """
    points = [
        (a, b, s.group)
        for s in summaries
        if (a := s.means.get(x)) is not None and (b := s.means.get(y)) is not None
    ]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not points:
        return False
    drawing = Figure(figsize=(6, 4.5), layout="constrained")
    axes = drawing.add_subplot(xlabel=x, ylabel=y)
    axes.plot([p[0] for p in points], [p[1] for p in points], "o-")
    for a, b, label in points:
        axes.annotate(label, (a, b), xytext=(6, 4), textcoords="offset points", fontsize=8)
    axes.margins(x=0.2)  # room for the last label
    axes.grid(alpha=0.3)
    drawing.savefig(path, dpi=150)
    return True


def write_page(path: Path, title: str, rows: Sequence[Row], notes: Iterable[str]) -> None:
    """One file with the means, the curve beside it if there is one, and the first pictures."""
    summaries = summarise(rows)
    names = [n for n in summaries[0].means if any(s.means[n] is not None for s in summaries)]
    with path.open("w", encoding="utf-8") as file:
        file.write(STYLE.format(title=html.escape(title), thumb=THUMB))
        file.writelines(f"<p>{html.escape(note)}</p>\n" for note in notes)
        head = "".join(f"<th>{html.escape(name)}" for name in names)
        file.write(f"<table><tr><th>group<th>samples{head}</tr>\n")
        for summary in summaries:
            cells = "".join(f'<td class="n">{figure(summary.means[n])}' for n in names)
            file.write(f"<tr><td>{html.escape(summary.group)}<td>{summary.count}{cells}</tr>\n")
        file.write("</table>\n")
        if (curve := path.with_name("curve.png")).is_file():
            encoded = base64.b64encode(curve.read_bytes()).decode()
            file.write(
                f'<img style="max-width: 640px" alt="" src="data:image/png;base64,{encoded}">\n'
            )
        more = f" The first {SHOWN} of {len(rows)}." if len(rows) > SHOWN else ""
        file.write(f"<p>Source, result, right answer where it is known.{more}</p>\n<table>\n")
        file.writelines(_picture_row(row, names) for row in rows[:SHOWN])
        file.write("</table>\n")


def _picture_row(row: Row, names: Sequence[str]) -> str:
    sample = row.sample
    pictures = (sample.source, sample.result, sample.truth)
    shown = "".join(f"<td>{_thumbnail(path)}" for path in pictures)
    values = "<br>".join(
        f"{html.escape(name)} {figure(value)}"
        for name in names
        if (value := row.values[name]) is not None
    )
    words = html.escape(sample.instruction or sample.edited_caption)
    return f"<tr>{shown}<td>{html.escape(sample.name)}<br>{words}<td>{values}</tr>\n"


def _thumbnail(path: Path | None) -> str:
    if path is None:
        return ""
    picture = open_picture(path)
    picture.thumbnail((THUMB, THUMB))
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=88)
    data = base64.b64encode(encoded.getvalue()).decode()
    return f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{data}">'
