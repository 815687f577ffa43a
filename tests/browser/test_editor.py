"""The pack in ComfyUI's own editor, in a real browser: opened, run and explained.

All is in one module, since a browser that is open keeps others from running event loops.
"""

import json
from pathlib import Path

import pytest
from instruct_pix2pix.headless.workflow import load_prompt
from instruct_pix2pix.tests.browser.editor import (
    chromium,
    compared,
    drop_file,
    errors_of,
    fit_view,
    open_editor,
    open_workflow,
    press_run,
    run,
    set_setting,
    set_widget,
)
from instruct_pix2pix.tests.browser.layouts import LAYOUTS
from instruct_pix2pix.tests.browser.templates import api_file, saved
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
HELP = ROOT / "nodes" / "web" / "docs"
SCREENSHOTS = ROOT / "demo" / "screenshots"
WEATHER = "Edit weather - sunny to cloudy - InstructPix2Pix"
HAIR = "Edit hair color - InstructPix2Pix"
BOX = "InstructPix2Pix - edit by instruction"
WINDOW = {"width": 1440, "height": 720}
# What a user sees of a workflow and would miss, but no sizes: nodes grow with what they show.
SEEN = """async () => ({
    prompt: (await app.graphToPrompt()).output,
    places: Object.fromEntries(app.graph.nodes.map((n) => [n.id, [n.title, ...n.pos]])),
    note: app.graph.nodes.find((node) => node.type === "MarkdownNote").widgets[0].value,
    groups: app.graph.groups.map((group) => [group.title, ...group.pos, ...group.size]),
})"""


@pytest.fixture(scope="module")
def server(stand_ins):
    """The ComfyUI of all tests, with a photo and all files that the templates name."""
    photo = stand_ins.scratch / "input" / "example.png"
    Image.new("RGB", (64, 48), "teal").save(photo)
    # Letters at every zoom, for the screenshots.
    set_setting(stand_ins.url, "LiteGraph.Canvas.LowQualityRenderingZoomThreshold", "0.01")
    set_setting(stand_ins.url, "LiteGraph.Canvas.MinFontSizeForLOD", "0")
    set_setting(stand_ins.url, "Comfy.Minimap.Visible", "false")
    yield stand_ins
    photo.unlink()


@pytest.fixture(scope="module")
def browser(server):
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(browser, server):
    page = browser.new_page(viewport=WINDOW)
    open_editor(page, server.url)
    return page


@pytest.fixture
def errors(page, server):
    with errors_of(page, server.url) as heard:
        yield heard


def select(page, title):
    page.evaluate(
        """(title) => {
            app.canvas.selectNode(app.graph.nodes.find((node) => node.title === title))
            app.canvas.setDirty(true, true)
        }""",
        title,
    )


def test_the_template_browser_shows_ours_with_pictures_and_opens_one(page, errors):
    page.locator(".templates-tab-button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("instruct-pix2pix").first.click()
    page.set_viewport_size({"width": WINDOW["width"], "height": 3600})  # only what is seen loads
    for title in LAYOUTS:
        card = dialog.get_by_test_id(f"template-workflow-{title}")
        card.get_by_text(title, exact=True).first.wait_for()
        picture = card.get_by_alt_text(title).first.element_handle()
        page.wait_for_function("(picture) => picture.naturalWidth === 512", arg=picture)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "Template browser.png")
    page.set_viewport_size(WINDOW)
    dialog.get_by_test_id(f"template-workflow-{HAIR}").click()
    dialog.wait_for(state="hidden")
    sampler = 'app.graph.nodes.some((node) => node.type === "IP2PKSampler")'
    page.wait_for_function(f"() => {sampler}")
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    assert compared(prompt) == compared(load_prompt(api_file(HAIR)))
    assert errors == []


def test_run_shows_progress_previews_and_the_result(page, errors):
    heights = "() => app.graph.nodes.map((node) => [node.title, node.size[1]])"
    open_workflow(page, saved(WEATHER))
    set_widget(page, "Sampler", "steps", 8)
    opened = page.evaluate(heights)
    page.evaluate("""() => {
        window.heard = {progress: 0, preview: 0, shown: []}
        const sampler = app.graph.nodes.find((node) => node.title === "Sampler")
        app.api.addEventListener("progress", () => heard.progress++)
        app.api.addEventListener("b_preview", () => {
            heard.preview++
            requestAnimationFrame(() => requestAnimationFrame(
                () => heard.shown.push([sampler.progress, sampler.imgs?.[0].naturalWidth])
            ))
        })
    }""")
    run(page)
    shown = "(title) => app.graph.nodes.find((n) => n.title === title).imgs?.[0]?.naturalWidth"
    page.wait_for_function(f"(title) => ({shown})(title) === 512", arg="Result")
    heard = page.evaluate("() => heard")
    assert heard["progress"] >= 8 and heard["preview"] >= 1
    # The bar and the picture on the sampler itself, while it runs.
    assert any(progress and width == 512 for progress, width in heard["shown"])
    # The sampler alone may grow, down over free ground: it is the last of its column.
    grown = {node for node, height in page.evaluate(heights) if [node, height] not in opened}
    assert grown <= {"Sampler"} and not page.evaluate("""() => {
        const box = ({pos: [x, y], size: [w, h]}) => [x, y - 30, x + w, y + h]
        const sampler = app.graph.nodes.find((node) => node.title === "Sampler")
        const [a, b, c, d] = box(sampler)
        return app.graph.nodes.some((node) => {
            const [x, y, z, w] = box(node)
            return node !== sampler && a < z && x < c && b < w && y < d
        })
    }""")
    assert errors == []


def test_a_second_run_executes_only_what_an_edit_changed(page, errors):
    open_workflow(page, saved(WEATHER))
    fit_view(page)
    set_widget(page, "Sampler", "steps", 2)
    set_widget(page, "Sampler", "control_after_generate", "fixed")
    run(page)
    assert run(page) == []
    page.get_by_placeholder("instruction").fill("make it snow")
    assert set(run(page)) == {"Instruction", "Sampler", "Decode", "Restore", "Result"}
    set_widget(page, "Restore", "match_color", "mean-std")
    assert set(run(page)) == {"Restore", "Result"}
    assert errors == []


def test_a_saved_picture_dropped_onto_the_canvas_brings_its_workflow_back(page, server, errors):
    open_workflow(page, saved(WEATHER))
    set_widget(page, "Sampler", "steps", 1)
    set_widget(page, "Sampler", "control_after_generate", "fixed")
    set_widget(page, "Instruction", "instruction", "make it foggy")
    run(page)
    seen = page.evaluate(SEEN)
    pictures = (server.output / "ip2p").glob("weather-sunny-to-cloudy_*.png")
    page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.wait_for_function("() => app.graph.nodes.length === 0")
    drop_file(page, max(pictures), WINDOW["width"] // 2, WINDOW["height"] // 2)
    page.wait_for_function(f"() => app.graph.nodes.length === {len(seen['places'])}")
    assert page.evaluate(SEEN) == seen
    assert seen["prompt"]["4"]["inputs"]["instruction"] == "make it foggy"
    assert errors == []


def test_the_blueprint_is_found_among_the_nodes_and_edits_a_picture(page, errors):
    name = BOX
    page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.wait_for_function("() => app.graph.nodes.length === 0")
    library = page.locator(".node-library-tab-button")
    library.click()
    page.get_by_placeholder("Search").first.fill(name)
    page.get_by_text(name).last.click()
    # Newer editors hang the node on the mouse, until it is put down.
    page.mouse.move(700, 400)
    page.mouse.click(700, 400)
    page.wait_for_function("() => app.graph.nodes.length === 1")
    library.click()
    page.evaluate("""() => {
        const [box] = app.graph.nodes
        const source = LiteGraph.createNode("IP2PSampleImage", "Source")
        const result = LiteGraph.createNode("PreviewImage", "Result")
        app.graph.add(source)
        app.graph.add(result)
        source.connect(0, box, 0)
        box.connect(0, result, 0)
    }""")
    set_widget(page, name, "steps", 1)
    set_widget(page, name, "instruction", "make it night")
    assert set(run(page)) == {"Source", name, "Result"}
    shown = "() => app.graph.nodes.find((n) => n.title === 'Result').imgs?.[0]?.naturalWidth"
    page.wait_for_function(f"() => ({shown})() === 512")
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    inside = {node["class_type"]: node["inputs"] for node in prompt.values()}
    assert inside["IP2PKSampler"]["steps"] == 1
    assert inside["IP2PEncodeInstruction"]["instruction"] == "make it night"
    assert errors == []


def test_a_text_to_image_checkpoint_is_refused_in_our_words(page):
    open_workflow(page, saved(WEATHER))
    set_widget(page, "Model", "checkpoint", "text-to-image.safetensors")
    press_run(page)
    words = page.get_by_text("text-to-image.safetensors: this is a text-to-image checkpoint").first
    # Newer editors say only that a node failed, and why in a panel behind a button.
    details = page.get_by_test_id("error-overlay-see-errors")
    words.or_(details).first.wait_for()
    if details.is_visible():
        details.click()
    words.wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")


def test_the_help_page_opens_beside_the_graph(page):
    open_workflow(page, saved(WEATHER))
    select(page, "Sampler")
    page.get_by_test_id("info-button").click()
    help_page = (HELP / "IP2PKSampler.md").read_text(encoding="utf-8")
    page.get_by_text(help_page[:50]).wait_for()


def test_an_editor_in_chinese_shows_our_names_and_our_help_in_chinese(browser, server):
    """Chinese from the start, as after a change of the language and a reload.

    Editors of 2025 drop what every pack says when they load a language's own texts (Comfy-Org/
    ComfyUI_frontend, issue 6748, mended by pull request 7214), and show our names in English. A
    probe tells whether this editor is one of them. There the packs' texts are handed to it once
    more, after its own, as the mended ones do: then our names must come.
    """

    def translate_a_node_of_core(route):
        answer = route.fetch()
        texts = answer.json()
        texts["zh"]["nodeDefs"]["KSampler"] = {"display_name": "probe"}
        route.fulfill(response=answer, json=texts)

    titles = "(kinds) => kinds.map((kind) => LiteGraph.createNode(kind).title)"
    names = """(kind) => {
        const node = LiteGraph.createNode(kind)
        const name = ({name, label, localized_name}) => [name, label ?? localized_name ?? name]
        return {
            display_name: node.title,
            inputs: Object.fromEntries([...node.inputs, ...(node.widgets ?? [])].map(name)),
            outputs: Object.fromEntries(node.outputs.map((slot, i) => [i, name(slot)[1]])),
        }
    }"""
    set_setting(server.url, "Comfy.Locale", '"zh"')
    page = browser.new_page(viewport=WINDOW)
    try:
        page.route("**/i18n", translate_a_node_of_core)
        open_editor(page, server.url)
        ours, core = page.evaluate(titles, ["IP2PKSampler", "KSampler"])
        if core != "probe":
            assert ours == "KSampler (InstructPix2Pix)"
            page.evaluate("""async () => {
                const vue = document.querySelector("#vue-app").__vue_app__
                const editor = vue._context.provides[vue.__VUE_I18N_SYMBOL__].global
                for (const [language, texts] of Object.entries(await app.api.getCustomNodesI18n()))
                    editor.mergeLocaleMessage(language, texts)
                await app.registerNodes()
            }""")
        chinese = json.loads((ROOT / "locales/zh/nodeDefs.json").read_text(encoding="utf-8"))
        for kind, texts in chinese.items():
            shown = page.evaluate(names, kind)
            shown["inputs"].pop("control_after_generate", None)  # the editor's own
            assert shown == {
                "display_name": texts["display_name"],
                "inputs": {key: slot["name"] for key, slot in texts["inputs"].items()},
                "outputs": {key: slot["name"] for key, slot in texts["outputs"].items()},
            }
        open_workflow(page, saved(WEATHER))
        fit_view(page)
        page.screenshot(path=SCREENSHOTS / "In Chinese.png")
        select(page, "Sampler")
        page.get_by_test_id("info-button").click()
        help_page = (HELP / "IP2PKSampler" / "zh.md").read_text(encoding="utf-8")
        page.get_by_text(help_page[:17]).wait_for()
    finally:
        page.close()
        set_setting(server.url, "Comfy.Locale", '"en"')
