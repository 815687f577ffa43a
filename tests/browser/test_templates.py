"""Templates open as they were saved, readable and whole, in ComfyUI's own editor and the newest.

All that needs a template open is looked at in one opening.
"""

import itertools
import json
from pathlib import Path

import pytest
from instruct_pix2pix.edits.settings import TEXT_TO_IMAGE
from instruct_pix2pix.headless.workflow import load_prompt
from instruct_pix2pix.tests.browser.blueprint import NAME as BLUEPRINT
from instruct_pix2pix.tests.browser.editor import (
    chromium,
    compared,
    errors_of,
    open_editor,
    open_workflow,
    set_setting,
)
from instruct_pix2pix.tests.browser.layouts import LAYOUTS, NEEDS
from instruct_pix2pix.tests.browser.stand_ins import write_stand_ins
from instruct_pix2pix.tests.browser.templates import WORKFLOWS, api_file, saved
from instruct_pix2pix.tests.serving import serving

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "demo" / "screenshots"
NEWEST = ROOT / ".cache" / "editor" / "comfyui_frontend_package" / "static"
WINDOW = {"width": 1440, "height": 900}
HAIR = "Edit hair color - InstructPix2Pix"
PHOTO = "Edit your photo with your pix2pix checkpoint - InstructPix2Pix"
# Letters of 14 pixels are drawn down to 8: below a scale of 0.57 there are none.
READABLE = 0.65
FIRST = ("Source", "Model", "Note")
# Left, top, right and bottom of each node in the window, with its title.
PLACES = """() => {
    const {scale, offset} = app.canvas.ds
    const frame = app.canvas.canvas.getBoundingClientRect()
    return [scale, Object.fromEntries(app.graph.nodes.map((node) => {
        const x = (node.pos[0] + offset[0]) * scale + frame.left
        const y = (node.pos[1] - 30 + offset[1]) * scale + frame.top
        return [node.title, [x, y, x + node.size[0] * scale, y + (node.size[1] + 30) * scale]]
    }))]
}"""
# Which links are drawn where a node lies that is not at their end. Every second pixel of a node's
# edges is asked for, but only where a stroke of 90 pixels says that a link is near: to ask takes
# long, and the 40 pixels behind a point are all within it.
COVERED = """() => {
    app.canvas.draw(true, true)
    const stroke = (width) => {
        const context = document.createElement("canvas").getContext("2d")
        return Object.assign(context, {lineWidth: width, lineCap: "round", lineJoin: "round"})
    }
    const [thin, wide] = [stroke(3), stroke(90)]
    const found = []
    for (const link of app.graph.links.values()) {
        const chain = []
        for (let id = link.parentId; id != null; id = app.graph.reroutes.get(id).parentId)
            chain.push(app.graph.reroutes.get(id))
        const paths = [link, ...chain].map((part) => part.path).filter(Boolean)
        const on = (context, x, y) => paths.some((path) => context.isPointInStroke(path, x, y))
        const crosses = (x, y, right, down, length) => {
            for (let start = 0; start < length; start += 40) {
                if (!on(wide, x + right * start, y + down * start)) continue
                for (let at = start; at < Math.min(start + 40, length); at += 2)
                    if (on(thin, x + right * at, y + down * at)) return true
            }
            return false
        }
        for (const node of app.graph.nodes) {
            if ([link.origin_id, link.target_id].includes(node.id)) continue
            // What runs under a node crosses its edge.
            const [left, top] = [node.pos[0] + 6, node.pos[1] - 24]
            const [right, bottom] = [node.pos[0] + node.size[0] - 6, node.pos[1] + node.size[1] - 6]
            const [width, height] = [right - left, bottom - top]
            if (crosses(left, top, 1, 0, width) || crosses(left, bottom, 1, 0, width)
                || crosses(left, top, 0, 1, height) || crosses(right, top, 0, 1, height))
                found.push(`${link.type} under ${node.title}`)
        }
    }
    return [found, [...app.graph.links.values()].filter((link) => link.path).length]
}"""
# Whether the search of nodes has this name in its first lines.
AMONG_THE_FIRST = """(name) =>
    [...document.querySelectorAll("[role=option], [data-testid=result-item]")]
        .slice(0, 4).some((found) => found.innerText.trim().startsWith(name))"""
# How much higher the note is than its text.
SPARE = """() => {
    const node = app.graph.nodes.find((node) => node.type === "MarkdownNote")
    const box = node.widgets[0].element
    const parts = [...(box.querySelector(".tiptap") ?? box).children]
    const end = Math.max(0, ...parts.map((part) => part.offsetTop + part.offsetHeight))
    return end && [node.size[1] - end]
}"""
# What was opened, and what would be queued.
OPENED = """async () => ({
    nodes: JSON.parse(JSON.stringify(app.graph.serialize().nodes)),
    unknown: app.graph.nodes.filter((node) => !LiteGraph.registered_node_types[node.type]),
    prompt: (await app.graphToPrompt()).output,
})"""


@pytest.fixture(scope="module", params=["pinned", "newest"])
def editor(request):
    return request.param


@pytest.fixture(scope="module")
def server(editor, stand_ins, tmp_path_factory):
    """The ComfyUI of all tests has its own editor; the newest one needs a server to itself."""
    if editor == "pinned":
        yield stand_ins
        return
    models = tmp_path_factory.mktemp("models")
    write_stand_ins(models)
    with serving(models, "--front-end-root", str(NEWEST)) as server:
        yield server


@pytest.fixture(scope="module")
def page(server):
    set_setting(server.url, "Comfy.Minimap.Visible", "false")
    with chromium() as browser:
        page = browser.new_page(viewport=WINDOW)
        open_editor(page, server.url)
        yield page


def widgets(nodes):
    return {node["id"]: node.get("widgets_values", []) for node in nodes}


def boxes(workflow):
    for node in workflow["nodes"]:
        size = node["size"]
        yield (*node["pos"], *(size.values() if isinstance(size, dict) else size))


def overlap(one, other):
    return all(one[i] < other[i + 2] and other[i] < one[i + 2] for i in (0, 1))


def inside(one, other):
    return all(other[i] <= one[i] and one[i + 2] <= other[i + 2] for i in (0, 1))


def test_the_newest_editor_is_newer_than_the_pinned_one(page, editor):
    version = page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__")
    (newest,) = NEWEST.parents[1].glob("comfyui_frontend_package-*.dist-info")
    newest = newest.name.removesuffix(".dist-info").rpartition("-")[2]
    numbers = [int(part) for part in version.split(".")]
    assert (version == newest) == (editor == "newest")
    assert numbers <= [int(part) for part in newest.split(".")]


@pytest.mark.parametrize("title", LAYOUTS)
def test_a_template_opens_as_it_was_saved_readable_and_whole(page, server, editor, title):
    """Its values, letters, links and note, and it is queued as its twin. A small window may need to
    be moved."""
    workflow = saved(title)
    with errors_of(page, server.url) as errors:
        open_workflow(page, workflow)
        opened = page.evaluate(OPENED)
    assert errors == []
    assert opened["unknown"] == []
    assert widgets(opened["nodes"]) == widgets(workflow["nodes"])
    assert compared(opened["prompt"]) == compared(load_prompt(api_file(title)))
    spare = page.wait_for_function(SPARE).json_value()[0]
    assert 0 <= spare <= 60, "the note is not as tall as its text"
    scale, places = page.evaluate(PLACES)
    assert scale >= READABLE
    for name, (left, top, right, bottom) in places.items():
        # Beside the side bar and below the tabs.
        assert 60 <= left and right <= 1440, name
        assert 80 <= top and (bottom <= 900 or name not in FIRST), name
    found, drawn = page.evaluate(COVERED)
    assert drawn == len(workflow["links"])
    assert found == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{title}, {editor}.png")


@pytest.mark.parametrize("window", [(1366, 768), (1600, 1000), (1920, 1080)])
def test_the_first_nodes_are_seen_in_every_window(page, window):
    """The view is saved with the template, so it is that of all of them."""
    assert len({json.dumps(saved(title)["extra"]["ds"]) for title in LAYOUTS}) == 1
    width, height = window
    page.set_viewport_size({"width": width, "height": height})
    open_workflow(page, saved(HAIR))
    scale, places = page.evaluate(PLACES)
    page.set_viewport_size(WINDOW)
    assert scale >= READABLE
    for name in FIRST:
        left, top, right, bottom = places[name]
        assert 60 <= left and right <= width and 80 <= top and bottom <= height, name


def test_the_template_browser_finds_ours_by_the_words_that_people_type(page):
    page.locator(".templates-tab-button").click()
    dialog = page.get_by_role("dialog")
    search = dialog.get_by_placeholder("Search").first
    for words, title in (("pix2pix", PHOTO), ("InstructPix2Pix", HAIR), ("instruct", HAIR)):
        card = dialog.get_by_test_id(f"template-workflow-{title}")
        search.fill("no template is called so")
        card.wait_for(state="hidden")
        search.fill(words)
        card.wait_for()
    card.click()
    dialog.wait_for(state="hidden")


@pytest.mark.parametrize("words", ["pix2pix", "InstructPix2Pix"])
def test_the_node_search_shows_the_whole_edit_among_the_first(page, words):
    page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    page.wait_for_function("() => app.graph.nodes.length === 0")
    page.mouse.dblclick(700, 500)
    page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")
    page.keyboard.type(words)
    page.wait_for_function(AMONG_THE_FIRST, arg=BLUEPRINT)
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.tagName !== 'INPUT'")


def test_a_link_under_a_node_would_be_found(page):
    workflow = saved(HAIR)
    del workflow["extra"]["reroutes"], workflow["extra"]["linkExtensions"]
    open_workflow(page, workflow)
    assert page.evaluate(COVERED)[0]


def test_the_region_is_taken_out_as_the_note_says(page):
    """Bypassed, the node leaves the whole picture to the edit."""
    open_workflow(page, saved(HAIR))
    prompt = page.evaluate("""async () => {
        app.graph.nodes.find((node) => node.title === "Find the region").mode = 4
        return (await app.graphToPrompt()).output
    }""")
    kinds = {node["class_type"]: node["inputs"] for node in prompt.values()}
    assert "IP2PEditMask" not in kinds and "mask" not in kinds["IP2PRestore"]
    twin = load_prompt(api_file(HAIR))
    assert set(prompt) == {key for key in twin if twin[key]["class_type"] != "IP2PEditMask"}


def test_every_template_has_a_layout():
    assert {path.stem for path in WORKFLOWS.glob("*.json")} == set(LAYOUTS)


def test_no_node_covers_another_or_leaves_its_group():
    for title in LAYOUTS:
        workflow = saved(title)
        # With the bar of their titles, which lies above their positions.
        nodes = [(x, y - 30, x + width, y + height) for x, y, width, height in boxes(workflow)]
        for one, other in itertools.combinations(nodes, 2):
            assert not overlap(one, other), title
        groups = [
            (x, y, x + width, y + height)
            for x, y, width, height in (group["bounding"] for group in workflow["groups"])
        ]
        for node in nodes:
            assert sum(overlap(node, group) for group in groups) == 1, title
            assert any(inside(node, group) for group in groups), title


@pytest.mark.parametrize("title", LAYOUTS)
def test_what_a_template_holds(title):
    """A seed that stays where pictures are compared, one place for the photo, one mask wired once,
    and a note that names the pack."""
    nodes = saved(title)["nodes"]
    values = [value for node in nodes for value in node.get("widgets_values", [])]
    chosen = {value for value in values if value in ("fixed", "randomize")}
    assert chosen == {"fixed" if LAYOUTS[title].compared else "randomize"}
    (note,) = (node for node in nodes if node["type"] == "MarkdownNote")
    assert note["widgets_values"][0].endswith(NEEDS)
    prompt = load_prompt(api_file(title))
    sources = [n["class_type"] for n in prompt.values() if n["_meta"]["title"] == "Source"]
    # Pairs are drawn from captions alone.
    assert sources == ([] if TEXT_TO_IMAGE in str(prompt) else ["LoadImage"])
    wires = [tuple(v) for n in prompt.values() for v in n["inputs"].values() if is_wire(v)]
    masks = [(prompt[key]["class_type"], slot) for key, slot in wires]
    assert sum(mask in (("LoadImage", 1), ("IP2PEditMask", 0)) for mask in masks) <= 1


def is_wire(value):
    return isinstance(value, list)


def test_a_form_has_its_inputs_and_its_result(page, editor):
    """`linearData` is what editors with an app mode read; others open the graph."""
    for title, layout in LAYOUTS.items():
        workflow = saved(title)
        assert "linearMode" not in workflow["extra"]
        assert (
            bool(layout.form) == title.startswith("App - ") == ("linearData" in workflow["extra"])
        )
        if not layout.form:
            continue
        nodes = {node["id"]: node.get("title") for node in workflow["nodes"]}
        form = workflow["extra"]["linearData"]
        assert tuple((nodes[key], name) for key, name in form["inputs"]) == layout.form
        assert [nodes[key] for key in form["outputs"]] == ["Result"]
        open_workflow(page, workflow)
        shown = page.evaluate(
            """(inputs) => inputs.every(([id, name]) => app.graph.getNodeById(id)
            .widgets.some((widget) => widget.name === name))""",
            form["inputs"],
        )
        assert shown and page.evaluate("() => app.canvas.canvas.checkVisibility()")
