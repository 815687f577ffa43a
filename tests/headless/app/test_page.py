"""The page on a real ComfyUI: in a browser where a person acts, over HTTP where a program could."""

import asyncio
import http.cookiejar
import io
import json
import socket
import time
import urllib.error
import urllib.request
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.tests.browser.editor import chromium
from instruct_pix2pix.tests.headless.command import ip2p
from PIL import Image

PATIENCE = 120_000


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def page_at(comfyui, *arguments):
    port = free_port()
    process = ip2p("app", "--port", port, "--server", comfyui.url, *arguments)
    try:
        assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}"
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture
def url(comfyui):
    with page_at(comfyui) as url:
        yield url


class Person:
    """One browser's cookies, and the page's own routes."""

    def __init__(self, url):
        self.url = url
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(jar)
        self.get("")

    def get(self, path):
        with self.opener.open(self.url + path, timeout=120) as answer:
            return answer.read()

    def post(self, path, body, **headers):
        """The status and the answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + "api/" + path, data, headers)
        try:
            with self.opener.open(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else text.decode()

    def state(self):
        return json.loads(self.get("api/state"))

    def upload(self, path):
        status, told = self.post("upload", path.read_bytes(), **{"X-Name": path.name})
        assert status == 200, told
        return told["id"]

    def edit(self, source, **asked):
        settings = {"steps": 1} | asked.pop("settings", {})
        return self.post("edit", {"source": source, "settings": settings, **asked})

    def finished(self):
        deadline = time.monotonic() + 120
        while any(job["state"] in ("waiting", "running") for job in self.state()["jobs"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return self.state()["jobs"]

    def picture(self, key, query=""):
        return Image.open(io.BytesIO(self.get(f"api/picture/{key}{query}")))


def test_a_sentence_a_tile_and_a_painted_mask(url, picture, tmp_path):
    before = np.asarray(Image.open(picture))
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE)
        problems = []
        page.on("pageerror", lambda error: problems.append(error))
        page.goto(url)
        page.locator("#tiles button").first.wait_for()
        page.set_input_files("#file", picture)
        page.locator("#stage").wait_for()
        page.locator("summary").first.click()
        page.fill("#steps", "1")

        page.click("#go")
        assert "say what to change" in page.locator("#error-instruction").inner_text().lower()
        page.fill("#instruction", "make it snow")
        page.press("#instruction", "Enter")
        page.locator("#strip img").wait_for()
        with page.expect_download() as saved:
            page.click("#png")
        assert saved.value.suggested_filename == "photo-make-it-snow.png"
        edited = Image.open(saved.value.path())
        prompt = json.loads(edited.text["prompt"])
        assert edited.size == (48, 40) and prompt["sampler"]["inputs"]["steps"] == 1
        assert page.input_value("#seed") == str(prompt["sampler"]["inputs"]["seed"])

        page.click("#undo")
        page.locator("#strip img").wait_for(state="detached")
        page.get_by_role("button", name="pink", exact=True).click()
        page.locator("#history li").nth(1).wait_for()
        page.locator("#strip img").wait_for()
        assert page.input_value("#instruction") == "change the hair color to pink"

        page.click("#undo")
        page.locator("#strip img").wait_for(state="detached")
        page.wait_for_function("document.getElementById('mask').clientWidth > 20")
        page.click("#paint")
        page.fill("#brush", "8")
        box = page.locator("#mask").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2, steps=4)
        page.mouse.up()
        page.fill("#instruction", "make it rain")
        page.click("#go")
        page.locator("#history li").nth(2).wait_for()
        page.locator("#strip img").wait_for()
        with page.expect_download() as saved:
            page.click("#png")
        painted = np.asarray(Image.open(saved.value.path()).convert("RGB"))
        same = (painted == before).all(axis=-1)
        assert same[:, 24:].all() and not same.all()
        assert not problems

        # A reload loses nothing, and a language is only other words.
        page.reload()
        page.locator("#history li").nth(2).wait_for()
        assert page.input_value("#instruction") == "make it rain"
        page.select_option("#language", "zh")
        page.get_by_role("button", name="\u7f16\u8f91", exact=True).wait_for()


def test_several_seeds_pick_one_go_on_and_undo(url, picture):
    person = Person(url)
    source = person.upload(picture)
    assert person.edit(source, instruction="make it snow", count=3, random_scales=True)[0] == 200
    jobs = person.finished()
    assert [job["state"] for job in jobs] == ["done"] * 3
    assert len({job["settings"]["seed"] for job in jobs}) == 3
    assert all(6 <= job["settings"]["text_cfg"] <= 9 for job in jobs)
    assert all(1.2 <= job["settings"]["image_cfg"] <= 1.8 for job in jobs)
    person.post("current", {"picture": jobs[1]["result"]})
    assert person.state()["current"] == jobs[1]["result"]
    fixed = {"seed": 5, "text_cfg": 4.0}
    asked = {"instruction": "make it rain", "random_seed": False, "count": 2, "settings": fixed}
    person.edit(jobs[1]["result"], **asked)
    jobs = person.finished()
    assert [job["settings"]["seed"] for job in jobs[3:]] == [5, 6]
    assert {job["source"] for job in jobs[3:]} == {jobs[1]["result"]}


def test_a_result_brings_its_settings_back_in_every_format(url, picture):
    person = Person(url)
    settings = {"text_cfg": 4.5, "seed": 9, "negative": "blur", "sampler_name": "euler"}
    person.edit(
        person.upload(picture), instruction="make it snow", random_seed=False, settings=settings
    )
    (job,) = person.finished()
    for kind in ("png", "jpeg", "webp"):
        data = person.get(f"api/picture/{job['result']}?format={kind}")
        assert Image.open(io.BytesIO(data)).format == kind.upper()
        read = person.post("upload", data)[1]["settings"]
        assert read | settings == read and read["instruction"] == "make it snow"


def test_the_region_of_an_edit_is_found_for_the_brush(url, picture):
    person = Person(url)
    person.edit(person.upload(picture), instruction="make it snow", region=True)
    (job,) = person.finished()
    assert job["state"] == "done", job["message"]
    region = person.picture(job["result"])
    assert region.size == (48, 40) and set(np.unique(region.convert("L"))) <= set(range(256))


def test_a_phones_photo_stands_upright_and_keeps_its_size(url, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    path = tmp_path / "phone.jpg"
    Image.new("RGB", (4000, 3000), (90, 120, 60)).save(path, exif=turned)
    person = Person(url)
    person.edit(person.upload(path), instruction="make it snow")
    (job,) = person.finished()
    assert job["state"] == "done", job["message"]
    assert person.picture(job["result"]).size == (3000, 4000)


def bomb():
    """A PNG of a few kilobytes that says it is 60,000 pixels wide and high."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    head = (60000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (
            "drawing.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>",
            "not a picture",
        ),
        ("program.png", b"MZ" + bytes(5000), "not a picture"),
        ("bomb.png", bomb(), "decompression bomb"),
        ("large.png", bytes(41 << 20), "larger than 40 MB"),
    ],
)
def test_hostile_uploads_are_refused_beside_their_control(url, name, data, words):
    person = Person(url)
    status, told = person.post("upload", data, **{"X-Name": name})
    assert status == 400 and told["where"] == "upload" and words in told["message"]
    assert person.state()["uploads"] == []


@pytest.mark.parametrize(
    ("asked", "where", "words"),
    [
        ({"settings": {"steps": "many"}, "instruction": "x"}, "steps", "'many'"),
        ({"settings": {"text_cfg": -1}, "instruction": "x"}, "text_cfg", "got -1"),
        ({"instruction": "x", "count": 99}, "count", "1 to 16"),
        ({"instruction": "  "}, "instruction", "say what to change"),
        ({"instruction": "x", "source": "nothing"}, "upload", "picture first"),
        ({"instruction": "x", "mask": "nothing"}, "mask", "paint it again"),
    ],
)
def test_what_cannot_be_is_said_beside_its_control(url, picture, asked, where, words):
    person = Person(url)
    source = person.upload(picture)
    status, told = person.post("edit", {"source": source, **asked})
    assert status == 400 and told["where"] == where and words in told["message"]


def test_nothing_of_one_person_is_shown_to_another_and_a_cancelled_edit_ends(url, picture):
    one, other = Person(url), Person(url)
    source = one.upload(picture)
    _, told = one.edit(source, instruction="make it snow", settings={"steps": 5000})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        other.get(f"api/picture/{source}")
    assert other.state()["pictures"] == {} and other.post("current", {"picture": source})[0] == 400
    theirs = other.upload(picture)
    other.edit(theirs, instruction="make it rain")
    deadline = time.monotonic() + 60
    while one.state()["jobs"][0]["state"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    one.post("cancel", {"turn": told["turn"]})
    assert [job["state"] for job in other.finished()] == ["done"]
    assert one.state()["jobs"][0]["state"] == "cancelled"
    one.post("reset", {})
    assert one.state()["pictures"] == {}


def test_who_may_come_in(comfyui):
    with page_at(comfyui, "--auth", "salon:secret") as url:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            Person(url)
    with page_at(comfyui) as url:
        status, told = Person(url).post("reset", {}, Origin="http://evil.example.com")
        assert status == 403 and "itself only" in told


def test_a_server_that_dies_during_an_edit_is_told_of(comfyui, picture):
    server = PrivateServer(arguments=comfyui.arguments)
    try:
        asyncio.run(server.start())
        with page_at(server) as url:
            person = Person(url)
            source = person.upload(picture)
            person.edit(source, instruction="make it snow", settings={"steps": 5000})
            deadline = time.monotonic() + 120
            while person.state()["jobs"][0]["step"] < 2:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            server.stop()
            (job,) = person.finished()
            assert (job["state"], job["message"]) == ("failed", "gone")
            assert person.picture(source).size == (48, 40)  # nothing else is lost
    finally:
        server.stop()
