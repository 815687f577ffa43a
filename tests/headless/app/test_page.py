"""The page in a browser, with the built-in model: what a person sees and does."""

import asyncio
import io
import json
import re
import threading
import zipfile

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.tests.browser.editor import chromium
from instruct_pix2pix.tests.headless.command import ROOT
from PIL import Image

from .person import PATIENCE, page_at
from .visitor import ask_for, bomb, give, mask_of, saved, set_steps, wait_for, wait_for_mask

RUNNING = re.compile(r"step \d+/3000")  # too many to end by themselves
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A ComfyUI that has this pack and no checkpoint."""
    base = tmp_path_factory.mktemp("base")
    (base / "custom_nodes").mkdir()
    (base / "custom_nodes" / "instruct-pix2pix").symlink_to(ROOT, target_is_directory=True)
    flags = ("--base-directory", str(base), "--preview-method", "latent2rgb")
    server = PrivateServer(arguments=flags, log=base / "comfyui.log")
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def url(server):
    with page_at(server) as url:
        yield url


@pytest.fixture(scope="module")
def browser(url):  # after the server, for an open browser keeps others from running event loops
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser, url):
    """Open the page as somebody new; whatever goes wrong in it fails the test."""
    contexts, problems = [], []

    def visit(window=WIDE, locale="en-US"):
        context = browser.new_context(viewport=window, locale=locale)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(url)
        page.locator("#tiles button").first.wait_for()
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def page(visit, picture):
    """The page with a photo, at one step an edit."""
    page = visit()
    give(page, picture)
    set_steps(page, 1)
    return page


def test_edit_by_sentence_and_by_tile_and_undo(page):
    assert (page.input_value("#text_cfg"), page.input_value("#image_cfg")) == ("2", "1.2")
    assert "drawings" in page.inner_text("#drawings")
    page.click("#go")
    page.get_by_text("say what to change").wait_for()
    assert page.evaluate("() => document.activeElement.id") == "instruction"
    ask_for(page, "make it snow")
    wait_for(page, 1)
    name, edited = saved(page)
    used = json.loads(edited.text["prompt"])["sampler"]["inputs"]
    assert name == "photo-make-it-snow.png" and edited.size == (48, 40)
    assert (used["steps"], used["text_cfg"], used["image_cfg"]) == (1, 2.0, 1.2)
    assert page.input_value("#seed") == str(used["seed"])
    for kind, format in (("jpg", "JPEG"), ("webp", "WEBP")):
        name, edited = saved(page, kind)
        assert name == f"photo-make-it-snow.{kind}" and edited.format == format

    page.click("#undo")
    page.locator("#made").wait_for(state="hidden")
    page.get_by_role("button", name="pink", exact=True).first.click()
    wait_for(page, 2)
    assert page.input_value("#instruction") == "change the hair color to pink"


def test_a_painted_mask_is_kept_and_nothing_else_changes(page, picture):
    before = np.asarray(Image.open(picture))
    page.click("#paint")
    page.fill("#brush", "20")
    box = page.locator("#mask").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    by_pointer = mask_of(page)
    page.focus("#mask")
    for key in ("ArrowDown", "ArrowDown", "Space"):  # from the middle of the picture
        page.keyboard.press(key)
    assert mask_of(page) > by_pointer > 0
    ask_for(page, "make it rain")
    wait_for(page, 1)
    edited = np.asarray(saved(page)[1].convert("RGB"))
    same = (edited == before).all(axis=-1)
    assert same[:, 28:].all() and same[:10].all() and not same.all()

    page.reload()
    page.click("#undo")
    wait_for_mask(page, "> 0")
    assert page.input_value("#instruction") == "make it rain"
    page.click("#everywhere")
    wait_for_mask(page, "=== 0")


def test_the_region_is_found_and_made_larger(visit):
    page = visit()
    give(page, ROOT / "workflows" / "pictures" / "ip2p-woman.png")
    set_steps(page, 1)
    page.fill("#instruction", "make her hair blue")
    page.click("#find")
    wait_for_mask(page, "> 0")
    found = mask_of(page)
    assert found < 0.9 and "% of the picture" in page.inner_text("#notes")
    page.fill("#threshold", "0.15")
    page.dispatch_event("#threshold", "change")
    wait_for_mask(page, f"> {found}")
    assert page.locator("#history img").count() == 0  # it is not an edit


def test_several_random_ones_pick_one_go_on_and_back_to_any_turn(page):
    page.check("#random_scales")
    page.fill("#count", "2")
    ask_for(page, "make it snow")
    wait_for(page, 2)
    first = page.locator("#strip button").first
    first.click()
    page.locator("#strip button[aria-pressed=true]").first.wait_for()
    page.wait_for_function(
        "() => document.querySelector('#strip button').getAttribute('aria-pressed') === 'true'"
    )
    assert 6 <= float(page.input_value("#text_cfg")) <= 9
    assert 1.2 <= float(page.input_value("#image_cfg")) <= 1.8
    page.fill("#count", "1")
    ask_for(page, "make it rain")
    wait_for(page, 3)
    page.locator("#history li").nth(2).get_by_role("button").click()  # the first of all
    page.locator("#strip button").nth(1).wait_for()
    assert page.inner_text("#stage-title") == "make it snow"


def test_a_batch_and_its_archive(page, picture, tmp_path):
    other = tmp_path / "\u5199\u771f.png"
    other.write_bytes(picture.read_bytes())
    give(page, other)
    assert page.locator("#uploads button").count() == 2
    page.check("#all")
    ask_for(page, "make it snow")
    wait_for(page, 2)
    with page.expect_download() as download:
        page.click("#zip")
    with zipfile.ZipFile(download.value.path()) as archive:
        names = ["001-photo-make-it-snow.png", "002-\u5199\u771f-make-it-snow.png"]
        assert archive.namelist() == names
        assert Image.open(io.BytesIO(archive.read(names[1]))).size == (48, 40)


def test_a_dropped_result_brings_every_setting_back(page, visit, tmp_path):
    page.select_option("#scheduler", "karras")
    page.fill("#negative", "blur")
    page.fill("#feather", "3")
    page.fill("#image_cfg", "3.25")
    page.uncheck("#random_seed")
    page.fill("#seed", "77")
    ask_for(page, "make it snow")
    wait_for(page, 1)
    with page.expect_download() as download:
        page.click("#png")
    other = visit()
    (tmp_path / "result.png").write_bytes(download.value.path().read_bytes())
    give(other, tmp_path / "result.png")
    other.get_by_text("settings of this file").wait_for()
    values = {"scheduler": "karras", "negative": "blur", "feather": "3", "image_cfg": "3.25"}
    values |= {"seed": "77", "steps": "1", "instruction": "make it snow"}
    assert {name: other.input_value(f"#{name}") for name in values} == values
    assert not other.is_checked("#random_seed")


def test_an_example_runs_at_one_press(visit):
    page = visit()
    set_steps(page, 1)
    page.get_by_role("button", name="make her hair blue").click()
    wait_for(page, 1)
    assert page.inner_text("#stage-title") == "make her hair blue"


def test_a_reload_during_a_run_and_cancel(page):
    set_steps(page, 3000)
    ask_for(page, "make it snow")
    page.get_by_text(RUNNING).wait_for()
    page.reload()
    page.get_by_text(RUNNING).wait_for()
    page.locator("#live").wait_for()
    page.get_by_role("button", name="Cancel: make it snow").click()
    page.locator(".job").wait_for(state="detached")
    assert "(cancelled)" in page.inner_text("#history")


def test_two_people_take_turns_and_see_nothing_of_each_other(page, visit, picture):
    other = visit(PHONE)
    give(other, picture)
    set_steps(other, 1)
    set_steps(page, 3000)
    ask_for(page, "make it snow")
    page.get_by_text(RUNNING).wait_for()
    ask_for(other, "make it rain")
    other.get_by_text("waiting, 1 before it").wait_for()
    page.get_by_role("button", name="Cancel: make it snow").click()
    wait_for(other, 1)
    assert other.inner_text("#stage-title") == "make it rain"
    assert "make it rain" not in page.inner_text("body")
    assert "snow" not in other.inner_text("#history")


def test_a_phones_photo_stands_upright_and_keeps_its_size(visit, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    path = tmp_path / "phone.jpg"
    Image.new("RGB", (4000, 3000), (90, 120, 60)).save(path, exif=turned)
    page = visit(PHONE)
    give(page, path)
    set_steps(page, 1)
    ask_for(page, "make it snow")
    wait_for(page, 1)
    assert saved(page)[1].size == (3000, 4000)
    assert page.evaluate("() => document.documentElement.scrollWidth") == PHONE["width"]


def test_hostile_uploads_are_refused_beside_their_control(visit, tmp_path):
    page = visit()
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(100 << 20)
    for name, data, words in (
        (
            "drawing.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
            "not a picture",
        ),
        ("program.png", b"MZ" + bytes(5000), "not a picture"),
        ("bomb.png", bomb(), "bomb"),
        ("empty.png", b"", "is empty"),
        (large, None, "larger than 40 MB"),
    ):
        file = name if data is None else {"name": name, "mimeType": "image/png", "buffer": data}
        page.set_input_files("#file", file)
        page.locator("#error-upload").get_by_text(words).wait_for()
    assert page.locator("#stage").is_hidden()


def test_it_speaks_chinese(visit, picture):
    page = visit(PHONE, "zh-CN")
    assert page.evaluate("() => document.documentElement.lang") == "zh"
    page.click("#go")
    page.get_by_text("\u8bf7\u5148\u9009\u62e9\u4e00\u5f20\u56fe\u7247").wait_for()
    give(page, picture)
    set_steps(page, 0)
    page.get_by_role("button", name="\u7c89\u8272", exact=True).first.click()  # pink
    page.get_by_text("steps\uff1a\u6536\u5230 0").wait_for()
    set_steps(page, 1)
    page.get_by_role("button", name="\u7c89\u8272", exact=True).first.click()
    wait_for(page, 1)
    assert page.inner_text("#stage-title") == "change the hair color to pink"
    page.select_option("#language", "en")
    page.get_by_role("button", name="pink", exact=True).first.wait_for()


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
def test_keyboard_and_screen_reader(visit, picture, window):
    page = visit(window)

    def serious():
        found = Axe().run(page).response["violations"]
        return [
            (rule["id"], node["html"][:200])
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    assert not serious()
    page.focus("#tab-hair")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => document.activeElement.id") == "tab-make-up"
    page.get_by_role("button", name="red lipstick").wait_for()
    give(page, picture)
    set_steps(page, 1)
    page.fill("#count", "2")
    ask_for(page, "make it snow")
    wait_for(page, 2)
    page.locator("#strip button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => document.activeElement.matches('#strip button[aria-pressed=true]:first-child')"
    )
    set_steps(page, 0)
    page.click("#go")
    page.locator("#error-steps").get_by_text("give 1 to").wait_for()
    for details in page.locator("details").all():
        details.evaluate("(e) => { e.open = true }")
    page.click("#paint")
    assert not serious()


def test_a_result_opens_in_the_editor(page, server):
    ask_for(page, "make it snow")
    wait_for(page, 1)
    with page.expect_popup() as popup:
        page.click("#editor")
    editor = popup.value
    editor.wait_for_function(
        """() => window.app?.graph?.nodes.some((node) => node.type === "IP2PEncodeInstruction"
            && node.widgets.some((widget) => widget.value === "make it snow"))""",
        timeout=1000 * PATIENCE,
    )


def test_a_comfyui_that_dies_during_a_run_and_comes_back(page, server):
    set_steps(page, 3000)
    ask_for(page, "make it snow")
    page.get_by_text(RUNNING).wait_for()
    server.stop()
    page.get_by_text("ComfyUI went away").wait_for()
    page.reload()  # the page itself is still whole
    page.get_by_text("ComfyUI went away").wait_for()
    assert page.inner_text("#stage-title") == "photo.png"
    starting = threading.Thread(target=lambda: asyncio.run(server.start()))
    starting.start()
    starting.join()
    set_steps(page, 1)
    ask_for(page, "make it rain")
    wait_for(page, 1)
