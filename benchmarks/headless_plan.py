"""A manifest of a million rows: how long is its plan, and how much memory does it take?

    python benchmarks/headless_plan.py          writes benchmarks/headless_plan.md

`ip2p batch MANIFEST --plan` reads a manifest into the ledger and stops; it is run on a new folder,
and again on the same one, as a resume does. Each run is a process of its own, whose CPU time and
largest memory the system tells. No server is needed.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

COMMAND = "from instruct_pix2pix.headless.cli import main; main()"


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Sizes of the manifests.")] = None,
) -> None:
    lines = []
    for many in rows or [1_000, 10_000, 100_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as scratch:
            manifest, folder = Path(scratch, "edits.csv"), Path(scratch, "edited")
            with manifest.open("w") as file:
                file.write("image,instruction,seed,text_cfg\n")
                for n in range(many):
                    file.write(f"photos/{n:07}.jpg,make her hair blue,{n},7.5\n")
            first, again = plan(manifest, folder), plan(manifest, folder)
            size = (folder / "ledger.sqlite").stat().st_size / 2**20
        lines.append(f"| {many:,} | {first[0]:.1f} | {first[1]:.0f} | {again[0]:.1f} |")
        lines[-1] += f" {again[1]:.0f} | {size:.0f} |"
        print(lines[-1])
    text = f"""# Headless: the plan of a million rows

`python benchmarks/headless_plan.py` on {platform.processor() or platform.machine()},
{os.cpu_count()} CPU cores, Python {platform.python_version()}.

| rows | plan, CPU s | memory, MiB | plan again, CPU s | memory, MiB | ledger, MiB |
| --- | --- | --- | --- | --- | --- |
"""
    Path(__file__).with_suffix(".md").write_text(text + "\n".join(lines) + "\n")


def plan(manifest: Path, folder: Path) -> tuple[float, float]:
    """CPU seconds, and the largest resident memory in MiB, of one plan."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "batch", str(manifest), "-o", str(folder), "--plan"],
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the plan of {manifest} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10  # KiB on Linux


if __name__ == "__main__":
    typer.run(main)
