"""What the terminal shows while ComfyUI works."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType

from PIL import Image
from rich.color import Color
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.style import Style
from rich.text import Text

from .jobs import Listener
from .messages import Event, Preview, Prompt, printable, title_of

SIDE = 36  # pixels of a preview in the terminal, two in each character
HALF = "\N{UPPER HALF BLOCK}"


class Lines(Progress):
    """Progress bars, and under them the preview of what is being made."""

    preview: Text | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.preview:
            yield self.preview


class View(AbstractContextManager["View"]):
    """Lines with bars on standard error. Without a terminal only what is done is printed.

    quiet  say nothing, as with --json
    """

    def __init__(self, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self.quiet = quiet
        self.plain = not quiet and not console.is_terminal
        self.pictures = console.color_system == "truecolor" and console.height > SIDE // 2 + 4
        self._said = time.monotonic()
        self.progress = Lines(
            SpinnerColumn(finished_text="[green]*"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("[dim]{task.fields[doing]}"),
            TimeElapsedColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> View:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def line(self, description: str, doing: str = "") -> TaskID:
        return self.progress.add_task(safe(description), total=None, doing=safe(doing))

    def done(self, line: TaskID, doing: str = "done") -> None:
        self.progress.preview = None
        self.progress.update(line, total=1, completed=1, doing=safe(doing))
        self._say(line, doing)

    def note(self, text: str) -> None:
        """A sentence that the user should read, above the bars."""
        if not self.quiet:
            self.progress.console.print(f"note: {safe(text)}", highlight=False, soft_wrap=True)

    def _say(self, line: TaskID, doing: str) -> None:
        if self.plain:
            self._said = time.monotonic()
            description = self.progress.tasks[line].description
            self.progress.console.print(f"{description}: {safe(doing)}", highlight=False)

    def listener(self, line: TaskID, prompt: Prompt | None = None) -> Listener:
        """Shows on a line which node runs, and how far it is."""

        def hear(message: Event | Preview) -> None:
            if isinstance(message, Preview):
                if self.pictures:
                    self.progress.preview = blocks(message.image)
                return
            node = message.data.get("node")
            if message.type == "executing" and isinstance(node, str):
                doing = title_of(prompt, node) if prompt else node
                self.progress.update(line, total=None, completed=0, doing=safe(doing))
            elif message.type == "progress":
                value, most = message.data.get("value"), message.data.get("max")
                if isinstance(value, (int, float)) and isinstance(most, (int, float)) and most > 0:
                    self.progress.update(
                        line, total=most, completed=value, doing=f"{value:.0f}/{most:.0f}"
                    )

        return hear

    def counter(self, line: TaskID) -> Callable[[dict[str, int], float], None]:
        """Shows on a line how many rows are through, how fast, and how long it will take."""
        first: list[int] = []

        def tell(counts: dict[str, int], seconds: float) -> None:
            failed = counts.get("failed", 0)
            through, total = counts.get("done", 0) + failed, sum(counts.values())
            first[:] = first or [through - 1]
            rate = (through - first[0]) / max(seconds, 0.001)
            left = timedelta(seconds=round((total - through) / rate)) if rate > 0 else "?"
            words = f"{through}/{total}, {rate:.2f} a second, {left} left"
            words += f", {failed} failed" if failed else ""
            self.progress.update(line, total=total, completed=through, doing=words)
            if time.monotonic() - self._said > 30:
                self._say(line, words)

        return tell


def blocks(picture: bytes) -> Text | None:
    """A picture in characters whose two halves have a color each; None if it cannot be read."""
    try:
        with Image.open(io.BytesIO(picture)) as opened:
            opened.thumbnail((SIDE, SIDE))
            small = opened.convert("RGB")
    except Exception:  # Pillow raises nearly anything on a broken file
        return None
    width, text = small.width, Text()
    colors = [Color.from_rgb(*pixel) for pixel in zip(*[iter(small.tobytes())] * 3, strict=True)]
    for top in range(0, len(colors) - width, 2 * width):
        for n in range(top, top + width):
            text.append(HALF, Style(color=colors[n], bgcolor=colors[n + width]))
        text.append("\n")
    return text


def safe(text: str) -> str:
    """Any text as it stands: neither a command to the terminal nor markup."""
    return escape(printable(text))
