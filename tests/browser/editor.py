"""ComfyUI's node editor in a headless Chromium."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, sync_playwright

from .chromium import find

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
)
# Its nodes are known, and the workflow that it begins with is open: it would close one before it.
READY = """() => window.app?.graph && Object.keys(LiteGraph.registered_node_types).length > 50
    && app.graph.nodes.length > 0 && app.extensionManager?.workflow?.activeWorkflow"""
# A slow machine is not a failure.
PATIENCE = 120_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine."""
    path = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=list(FLAGS), timeout=PATIENCE
        )
        try:
            yield browser
        finally:
            browser.close()


def set_setting(url: str, name: str, value: str) -> None:
    """Save a setting of the editor, `value` being JSON, as the server keeps it for its pages."""
    request = urllib.request.Request(f"{url}/settings/{name}", value.encode())
    urllib.request.urlopen(request, timeout=60).close()


def open_editor(page: Page, url: str) -> None:
    """Open the editor of a server and wait until it is ready to open workflows."""
    set_setting(url, "Comfy.TutorialCompleted", "true")  # else a dialog covers the canvas
    page.set_default_timeout(PATIENCE)
    page.goto(url, timeout=PATIENCE)
    page.wait_for_function(READY, timeout=PATIENCE)


@contextmanager
def errors_of(page: Page, url: str) -> Iterator[list[str]]:
    """What the editor's console says of this server; others cannot be reached everywhere."""
    heard: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and message.location["url"].startswith(url):
            heard.append(f"{message.text} {message.location['url']}")

    def listen_to_exceptions(error: Error) -> None:
        heard.append(str(error))

    page.on("console", listen)
    page.on("pageerror", listen_to_exceptions)
    try:
        yield heard
    finally:
        page.remove_listener("console", listen)
        page.remove_listener("pageerror", listen_to_exceptions)


def compared(prompt: dict[str, Any]) -> dict[str, Any]:
    """A prompt without titles, and without the text that PreviewAny shows: a widget and no input,
    which older editors send all the same."""
    compared = {key: {**node, "_meta": None} for key, node in prompt.items()}
    for node in compared.values():
        if node["class_type"] == "PreviewAny":
            node["inputs"] = {"source": node["inputs"]["source"]}
    return compared


def open_workflow(page: Page, workflow: dict[str, Any]) -> None:
    """Open a saved workflow in a tab of its own."""
    page.evaluate("async (workflow) => { await app.loadGraphData(workflow) }", workflow)


def set_widget(page: Page, title: str, name: str, value: Any) -> None:
    """Set the value of a widget of the node with this title."""
    page.evaluate(
        """([title, name, value]) => {
            const node = app.graph.nodes.find((node) => node.title === title)
            const named = (widget) => widget.name === name || widget.name.endsWith(`: ${name}`)
            node.widgets.find(named).value = value
        }""",
        [title, name, value],
    )


def press_run(page: Page) -> None:
    """Press Run, and not the menu beside it, which some editors call the same."""
    page.get_by_role("button", name="Run", exact=True).first.click()


def run(page: Page) -> list[str]:
    """Press Run and wait for the end; the titles of the nodes that were executed, in order.

    What is executed in a subgraph, as 5:2 in node 5, counts as its box.
    """
    page.evaluate("""() => {
        window.executed = []
        const hear = ({detail}) => {
            executed.push(detail && app.graph.getNodeById(detail.split(":")[0]).title)
            if (!detail) app.api.removeEventListener("executing", hear)
        }
        app.api.addEventListener("executing", hear)
    }""")
    press_run(page)
    page.wait_for_function("() => executed.at(-1) === null")
    titles: list[str] = page.evaluate("() => executed.slice(0, -1)")
    return titles


def drop_file(page: Page, path: Path, x: int, y: int) -> None:
    """Drag a file from outside of the browser to a place in the page."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": x, "y": y, "data": data}
        devtools.send("Input.dispatchDragEvent", event)
    devtools.detach()


def fit_view(page: Page) -> None:
    """Bring all of the workflow into view and let it be drawn."""
    page.evaluate("""async () => {
        await app.extensionManager.command.execute("Comfy.Canvas.FitView")
        app.canvas.setDirty(true, true)
    }""")
    # FitView moves there in half a second.
    still = """() => {
        const view = [...app.canvas.ds.offset, app.canvas.ds.scale].join()
        const seen = window.seenView
        window.seenView = view
        return view === seen
    }"""
    page.wait_for_function(still, polling=300)
