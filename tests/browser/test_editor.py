"""The pack in ComfyUI's own editor, in a real browser: opened, run and explained.

All is in one module, since a browser that is open keeps others from running event loops.
"""

import asyncio
import json
import re
from pathlib import Path

import pytest
import safetensors.torch
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.headless.workflow import load_prompt
from instruct_pix2pix.tests.browser.editor import (
    chromium,
    fit_view,
    open_editor,
    open_workflow,
    set_setting,
)
from instruct_pix2pix.tests.browser.layouts import LAYOUTS
from instruct_pix2pix.tests.browser.stand_ins import write_stand_ins
from instruct_pix2pix.tests.browser.templates import api_file
from instruct_pix2pix.tests.checkpoints.factory import ldm_state_dict, tiny_pipeline
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
SCREENSHOTS = ROOT / "demo" / "screenshots"
WEATHER = "Weather - sunny to cloudy"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A ComfyUI with a text-to-image checkpoint, and all files that the templates name."""
    models = tmp_path_factory.mktemp("models")
    stand_ins = write_stand_ins(models)
    text_to_image = ldm_state_dict(tiny_pipeline(in_channels=4))
    safetensors.torch.save_file(text_to_image, models / "checkpoints" / "text-to-image.safetensors")
    server = PrivateServer(
        arguments=["--preview-method", "latent2rgb", *stand_ins], log=models / "comfyui.log"
    )
    try:
        (server.scratch / "input").mkdir()
        Image.new("RGB", (64, 48), "teal").save(server.scratch / "input" / "example.png")
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def browser(server):
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser, server):
    """The editor, which shows letters at every zoom, for the screenshots."""
    set_setting(server.url, "LiteGraph.Canvas.LowQualityRenderingZoomThreshold", "0.01")
    set_setting(server.url, "LiteGraph.Canvas.MinFontSizeForLOD", "0")
    set_setting(server.url, "Comfy.Minimap.Visible", "false")
    page = browser.new_page(viewport={"width": 1440, "height": 720})
    open_editor(page, server.url)
    return page


@pytest.fixture
def errors(page, server):
    """What the editor's console says of this server; others cannot be reached everywhere."""
    heard = []

    def listen(message):
        if message.type == "error" and message.location["url"].startswith(server.url):
            heard.append(message.text)

    def listen_to_exceptions(error):
        heard.append(str(error))

    page.on("console", listen)
    page.on("pageerror", listen_to_exceptions)
    yield heard
    page.remove_listener("console", listen)
    page.remove_listener("pageerror", listen_to_exceptions)


def saved(title):
    return json.loads((WORKFLOWS / f"{title}.json").read_text(encoding="utf-8"))


def without_titles(prompt):
    return {key: {**node, "_meta": None} for key, node in prompt.items()}


def test_every_template_has_a_layout():
    assert {path.stem for path in WORKFLOWS.glob("*.json")} == set(LAYOUTS)


@pytest.mark.parametrize("title", LAYOUTS)
def test_a_template_opens_as_it_was_saved_and_is_queued_as_its_twin(page, errors, title):
    workflow = saved(title)
    open_workflow(page, workflow)
    fit_view(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{title}.png")
    opened = page.evaluate("""async () => ({
        nodes: JSON.parse(JSON.stringify(app.graph.serialize().nodes)),
        unknown: app.graph.nodes.filter((node) => !LiteGraph.registered_node_types[node.type]),
        prompt: (await app.graphToPrompt()).output,
    })""")
    assert opened["unknown"] == []
    values = {node["id"]: node.get("widgets_values", []) for node in workflow["nodes"]}
    assert {node["id"]: node.get("widgets_values", []) for node in opened["nodes"]} == values
    assert without_titles(opened["prompt"]) == without_titles(load_prompt(api_file(title)))
    assert errors == []


def test_run_shows_progress_previews_and_the_result(page, errors):
    open_workflow(page, saved(WEATHER))
    page.evaluate("""() => {
        window.heard = {progress: 0, preview: 0}
        app.api.addEventListener("progress", () => heard.progress++)
        app.api.addEventListener("b_preview", () => heard.preview++)
    }""")
    page.get_by_role("button", name="Run", exact=True).first.click()
    shown = "(title) => app.graph.nodes.find((n) => n.title === title).imgs?.[0]?.naturalWidth"
    for title in ("Before", "Result"):
        page.wait_for_function(f"(title) => ({shown})(title) === 512", arg=title)
    heard = page.evaluate("() => heard")
    assert heard["progress"] >= 20 and heard["preview"] >= 1
    assert errors == []


def test_a_text_to_image_checkpoint_is_refused_in_our_words(page):
    open_workflow(page, saved(WEATHER))
    page.evaluate("""() => {
        const model = app.graph.nodes.find((node) => node.title === "Model")
        model.widgets[0].value = "text-to-image.safetensors"
    }""")
    page.get_by_role("button", name="Run", exact=True).first.click()
    words = re.compile("text-to-image.safetensors: this is a text-to-image checkpoint")
    page.get_by_role("dialog").get_by_text(words).first.wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")


def test_the_help_page_opens_beside_the_graph(page):
    open_workflow(page, saved(WEATHER))
    page.evaluate("""() => {
        app.canvas.selectNode(app.graph.nodes.find((node) => node.title === "Sampler"))
        app.canvas.setDirty(true, true)
    }""")
    page.get_by_test_id("info-button").click()
    help_page = (ROOT / "nodes" / "web" / "docs" / "IP2PKSampler.md").read_text()
    page.get_by_text(help_page[:50]).wait_for()
