"""The README's picture of a template that ran in the editor: python docs/editor_picture.py"""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.tests.browser.editor import (
    chromium,
    open_editor,
    open_workflow,
    run,
    set_setting,
)
from PIL import Image

DOCS = Path(__file__).resolve().parent
TEMPLATE = DOCS.parent / "workflows" / "Edit hair color - InstructPix2Pix.json"
WINDOW = {"width": 1440, "height": 900}
# The window without the menus at its edges.
CANVAS = {"x": 60, "y": 130, "width": 1380, "height": 650}
SHOWN = """() => app.graph.nodes.filter((node) => /^(Source|Result)$/.test(node.title))
    .every((node) => node.imgs?.[0]?.naturalWidth > 0)"""


def photographed(url: str) -> Image.Image:
    """The editor's canvas after the template ran, seen as it opens."""
    set_setting(url, "Comfy.Minimap.Visible", "false")
    with chromium() as browser:
        page = browser.new_page(viewport=WINDOW)
        open_editor(page, url)
        open_workflow(page, json.loads(TEMPLATE.read_text(encoding="utf-8")))
        run(page)
        page.wait_for_function(SHOWN)
        notice = page.get_by_text("job completed").first  # which comes and goes over the canvas
        notice.wait_for()
        notice.wait_for(state="hidden")
        return Image.open(io.BytesIO(page.screenshot(clip=CANVAS)))


def main() -> None:
    server = PrivateServer()
    try:
        asyncio.run(server.start())
        picture = photographed(server.url).convert("RGB")
    finally:
        server.stop()
    picture.save(DOCS / "images" / "editor.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
