"""Finds the browser that the editor's tests drive, and brings one where there is none.

    python tests/browser/chromium.py    say which one it is; what `make setup` runs

Chromium or Chrome of this machine comes first, then Playwright's own, which is downloaded where it
is missing. Where it cannot be downloaded or does not start, Debian's package takes its place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


class NoBrowser(Exception):
    """There is no browser here and none can be brought."""


def candidates() -> Iterator[str]:
    """Where a browser may lie, the preferred first."""
    yield from filter(None, map(shutil.which, NAMES))
    yield from MAC
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    yield path


def starts(path: str) -> bool:
    """Whether the program at `path` is there and runs: a download may lack system libraries."""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def installed() -> str | None:
    """The path of a browser of this machine that starts, or None."""
    return next(filter(starts, candidates()), None)


def find() -> str:
    """The path of a browser; brings one where there is none.

    Raises NoBrowser, which says what was tried and what to do.
    """
    found = installed()
    if found:
        return found
    said = [run([sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"])]
    found = installed()
    if not found and shutil.which("apt-get"):
        root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
        said.append(run([*root, "apt-get", "update", "-qq"]))
        options = ["--yes", "--no-install-recommends"]
        said.append(run([*root, "apt-get", "install", "-qq", *options, "chromium"]))
        found = installed()
    if not found:
        reasons = "\n".join(filter(None, said))
        raise NoBrowser(
            "The tests of the editor need Chromium or Chrome, and none could be installed: install "
            f"one, so that `{NAMES[0]}` or `{NAMES[2]}` is in PATH, then run this again.\n{reasons}"
        )
    return found


def run(command: list[str]) -> str:
    """Run a command to its end; its first line about an error if it failed, else nothing."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except OSError as error:
        return f"{command[0]}: {error}"
    if done.returncode == 0:
        return ""
    lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
    reason = next((line for line in lines if line.startswith(("E:", "Error"))), lines[-1])
    return f"`{' '.join(command[-3:])}`: {reason}"


def main() -> None:
    try:
        print(f"Browser: {find()}")
    except NoBrowser as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
