"""The page's routes on a real ComfyUI, used as a program could."""

import io
import json
import urllib.error
import zipfile

import numpy as np
import pytest
from instruct_pix2pix.edits.settings import BUILT_IN, BUILT_IN_SCALES
from instruct_pix2pix.headless.app.page import TABS
from instruct_pix2pix.headless.jobs import Jobs
from instruct_pix2pix.tests.headless.command import in_process
from PIL import Image

from .person import Person, free_port, page_at

# A checkpoint of Stable Diffusion 1.5's kind, and another setting of every kind.
SETTINGS = {
    **{"checkpoint": "tiny.safetensors", "weights": "raw", "fit": "keep size", "margin": 32},
    **{"negative": "blur", "syntax": "weighted", "seed": 9, "steps": 2, "sampler_name": "euler"},
    **{"scheduler": "karras", "denoise": 0.9, "numerics": "comfyui", "feather": 3},
    **{"match_color": "mean-std", "text_cfg": 4.5, "image_cfg": 1.3},
}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Where the page keeps the files of its sessions."""
    return tmp_path_factory.mktemp("sessions")


@pytest.fixture(scope="module")
def url(comfyui, sessions):
    with page_at(comfyui, temporary=sessions) as url:
        yield url


@pytest.fixture
def person(url):
    return Person(url)


def test_the_page_offers_what_edits_and_says_what_it_is(person):
    info = person.info()
    models = info["models"]
    assert {"text-to-image.safetensors", "broken.safetensors"}.isdisjoint(models)
    assert models[BUILT_IN] == {"family": "", **BUILT_IN_SCALES}
    usual = {"family": "Stable Diffusion 1.5", "text_cfg": 7.5, "image_cfg": 1.5}
    assert models["tiny.safetensors"] == usual
    offered = next(s for s in info["settings"] if s["name"] == "checkpoint")["choices"]
    assert list(offered) == list(models)


def test_several_seeds_with_the_scales_of_the_authors(person, picture):
    source = person.upload(picture)
    assert person.edit(source, instruction="make it snow", count=3, random_scales=True)[0] == 200
    jobs = person.finished()
    assert [job["state"] for job in jobs] == ["done"] * 3
    assert len({job["settings"]["seed"] for job in jobs}) == 3
    assert all(6 <= job["settings"]["text_cfg"] <= 9 for job in jobs)
    assert all(1.2 <= job["settings"]["image_cfg"] <= 1.8 for job in jobs)
    fixed = {"seed": 5, "text_cfg": 4.0}
    asked = {"instruction": "make it rain", "random_seed": False, "count": 2, "settings": fixed}
    person.edit(jobs[1]["result"], **asked)
    jobs = person.finished()
    assert [job["settings"]["seed"] for job in jobs[3:]] == [5, 6]
    with zipfile.ZipFile(io.BytesIO(person.get("api/zip"))) as archive:
        assert len(archive.namelist()) == 5
        assert archive.namelist()[0] == "001-photo-make-it-snow.png"


def test_a_tile_brings_the_scales_of_its_preset_or_of_the_model(person, picture):
    source = person.upload(picture)
    for checkpoint, scales in (("tiny.safetensors", (9.0, 1.2)), (BUILT_IN, (2.0, 1.2))):
        settings = {"checkpoint": checkpoint}
        person.edit(source, preset="material", value="gold", settings=settings)
        job = person.finished()[-1]
        assert job["instruction"] == "make it out of gold"
        assert (job["settings"]["text_cfg"], job["settings"]["image_cfg"]) == scales
    person.edit(source, preset="material", value="gold", settings={"text_cfg": 3})
    assert person.finished()[-1]["settings"]["text_cfg"] == 3


def test_a_result_brings_every_setting_back_in_every_format(person, picture):
    source = person.upload(picture)
    person.edit(source, instruction="make it snow", random_seed=False, settings=SETTINGS)
    (job,) = person.finished()
    assert job["state"] == "done", job["message"]
    for kind, name in (("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")):
        data = person.get(f"api/picture/{job['result']}?format={kind}")
        assert Image.open(io.BytesIO(data)).format == name
        read = person.post("upload", data)[1]["settings"]
        assert read == SETTINGS | {"instruction": "make it snow"}


def test_the_scales_that_were_found_are_told(person, picture):
    source = person.upload(picture)
    person.edit(source, instruction="make it snow", auto=True)
    (job,) = person.finished()
    assert job["state"] == "done", job["message"]
    assert set(job["found"]) == {"text_cfg", "image_cfg"} and all(job["found"].values())
    read = person.post("upload", person.get(f"api/picture/{job['result']}"))[1]["settings"]
    assert read["auto"] and read["steps"] == 1 and "text_cfg" not in read


def test_a_mask_is_of_its_picture_and_fits_it(person, picture):
    before = np.asarray(Image.open(picture))
    source, other = person.upload(picture), person.upload(picture)
    painted = Image.new("L", (24, 20))  # a phone paints on fewer pixels than the picture has
    painted.paste(255, (0, 0, 6, 20))
    encoded = io.BytesIO()
    painted.save(encoded, "PNG")
    status, told = person.post(f"mask?of={source}", encoded.getvalue(), **{"X-Name": "mask.png"})
    assert status == 200 and person.state()["masks"] == {source: told["mask"]}
    assert person.picture(told["mask"]).size == (48, 40)
    person.edit(source, instruction="make it snow", all=True)
    masked, free = person.finished()
    assert (masked["mask"], free["mask"]) == (told["mask"], None) and free["source"] == other
    after = np.asarray(person.picture(masked["result"]).convert("RGB"))
    same = (after == before).all(axis=-1)
    assert same[:, 24:].all() and not same.all()
    person.post(f"mask?of={source}", b"")
    assert person.state()["masks"] == {}


def test_errors_and_notes_come_in_the_language_of_the_page(person, picture):
    status, told = person.post("upload", b"MZ", **{"X-Name": "a.png", "X-Language": "zh"})
    assert told["message"].startswith("a.png \u4e0d\u662f")
    source = person.upload(picture)
    settings = {"checkpoint": BUILT_IN}
    person.edit(source, instruction="make it zigzag", settings=settings)
    person.finished()
    told = json.loads(person.get("api/state", **{"X-Language": "zh"}))["jobs"][0]["notes"]
    assert len(told) == 1 and not told[0].isascii() and told[0].endswith("\uff1azigzag")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_tile_and_setting_has_a_name(person, language):
    texts = person.info(language)["texts"]
    assert list(texts["tiles"]) == list(TABS)
    for group in (group for groups in texts["tiles"].values() for group in groups):
        for told in (group["name"], group["needs"], *(v["name"] for v in group["values"])):
            assert told and (language == "en" or not told.isascii()), told


@pytest.mark.parametrize(
    ("asked", "where", "words"),
    [
        ({"settings": {"steps": "many"}, "instruction": "x"}, "steps", "'many'"),
        ({"settings": {"text_cfg": -1}, "instruction": "x"}, "text_cfg", "got -1"),
        ({"settings": ["steps"], "instruction": "x"}, "", "settings by name"),
        ({"instruction": "x", "count": 99}, "count", "1 to 16"),
        ({"instruction": "x", "threshold": 7}, "mask", "0 to 1"),
        ({"instruction": "  "}, "instruction", "say what to change"),
        ({"instruction": "x", "source": "nothing"}, "upload", "picture first"),
    ],
)
def test_what_cannot_be_is_said_beside_its_control(person, picture, asked, where, words):
    source = person.upload(picture)
    status, told = person.post("edit", {"source": source, **asked})
    assert status == 400 and told["where"] == where and words in told["message"]
    assert person.state()["jobs"] == []


def test_a_failure_is_said_beside_its_control(person, picture):
    source = person.upload(picture)
    person.edit(source, instruction="x", settings={"checkpoint": "broken.safetensors"})
    (job,) = person.finished()
    assert (job["state"], job["where"]) == ("failed", "checkpoint")
    assert "not a checkpoint" in job["message"] or "broken" in job["message"]


def test_no_body_ends_the_page(person):
    for body in (b"", b"[]", b"\xff", b'{"picture": {}}', b"{"):
        for path in ("edit", "cancel", "current", "example", "editor"):
            status, told = person.post(path, body)
            assert status in (200, 400, 404), (path, body, told)


def test_nothing_of_one_person_is_shown_to_another_and_a_cancelled_edit_ends(url, picture):
    one, other = Person(url), Person(url)
    source = one.upload(picture)
    _, told = one.edit(source, instruction="make it snow", settings={"steps": 5000})
    for query in ("", "?small", "?format=jpg"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            other.get(f"api/picture/{source}{query}")
    assert other.post(f"mask?of={source}", b"")[0] == 404
    assert other.state()["pictures"] == {} and other.post("current", {"picture": source})[0] == 400
    theirs = other.upload(picture)
    other.edit(theirs, instruction="make it rain")
    one.until(lambda jobs: jobs[0]["state"] == "running")
    one.post("cancel", {"turn": told["turn"]})
    assert [job["state"] for job in other.finished()] == ["done"]
    assert one.state()["jobs"][0]["state"] == "cancelled"


def test_the_files_of_a_session_go_with_it(comfyui, picture, tmp_path):
    def files():
        return [path for path in tmp_path.rglob("ip2p-app-*/*") if path.is_file()]

    with page_at(comfyui, temporary=tmp_path) as url:
        one, other = Person(url), Person(url)
        assert not files()
        one.edit(one.upload(picture), instruction="make it snow")
        one.finished()
        other.upload(picture)
        assert len(files()) == 3
        one.post("reset", {})
        assert one.state()["pictures"] == {} and len(files()) == 1
    assert not list(tmp_path.glob("ip2p-app-*"))


def test_who_may_come_in(comfyui, url):
    with page_at(comfyui, "--auth", "salon:secret") as closed:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            Person(closed)
    person = Person(url)
    status, told = person.post("reset", {}, Origin="http://evil.example.com")
    assert status == 403 and "itself only" in told
    stranger = Person(url)
    for handler in stranger.opener.handlers:
        if hasattr(handler, "cookiejar"):
            handler.cookiejar.clear()
    with pytest.raises(urllib.error.HTTPError, match="410"):
        stranger.state()


def test_a_page_without_a_comfyui_ends_with_a_sentence(monkeypatch):
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setitem(Jobs.__init__.__kwdefaults__, "patience", 1.0)  # not half a minute
    code, said = in_process("app", "--port", free_port(), "--server", nowhere)
    assert code == 4 and nowhere in said and "Traceback" not in said
