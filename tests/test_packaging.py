"""What users get: the registry's archive works in a clean ComfyUI, and the wheel without torch."""

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACK = PYPROJECT["project"]["name"]
PACKAGES = {  # the folders that hold code
    name.split(".")[1] for name in PYPROJECT["tool"]["setuptools"]["packages"] if "." in name
}


def run(*command: str | Path, cwd: Path, home: Path) -> str:
    """Run a command to its end, with a home of its own and nothing reported to anybody."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "HOME": str(home), "DO_NOT_TRACK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """A repository of its own with the tracked files as they are now, and no ignored ones."""
    copy = tmp_path_factory.mktemp("checkout") / PACK
    for name in run("git", "ls-files", cwd=ROOT, home=home).splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    run("git", "init", "--quiet", cwd=copy, home=home)
    run("git", "add", "--all", cwd=copy, home=home)
    return copy


@pytest.fixture(scope="module")
def archive(checkout: Path, home: Path) -> zipfile.ZipFile:
    comfy = Path(sys.executable).with_name("comfy")
    run(comfy, "--no-json", "node", "pack", cwd=checkout, home=home)
    return zipfile.ZipFile(checkout / "node.zip")


class Server(NamedTuple):
    url: str
    log: Path

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + urllib.parse.quote(path), timeout=60) as answer:
            return answer.read()


@pytest.fixture(scope="module")
def server(
    archive: zipfile.ZipFile, comfyui_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A real ComfyUI whose only custom node is the unpacked archive."""
    base = tmp_path_factory.mktemp("base")
    archive.extractall(base / "custom_nodes" / PACK)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(comfyui_path / "main.py"), "--cpu", "--port", str(port)]
    command += ["--base-directory", str(base), "--database-url", f"sqlite:///{base / 'comfyui.db'}"]
    log = base / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--disable-auto-launch", "--disable-api-nodes"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://127.0.0.1:{port}", log)
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                server.get("/system_stats")
                break
            except OSError:
                gone = process.poll() is not None or time.monotonic() > deadline
                assert not gone, f"ComfyUI does not answer:\n{log.read_text()}"
                time.sleep(0.5)
        yield server
    finally:
        process.kill()
        process.wait()


def test_version_is_the_newest_in_the_changelog() -> None:
    version = PYPROJECT["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)[0] == version


def test_registry_metadata() -> None:
    assert PYPROJECT["tool"]["comfy"]["requires-comfyui"] == ">=0.3.75"
    assert PYPROJECT["tool"]["comfy"]["PublisherId"]
    assert PYPROJECT["project"]["urls"]["Repository"].startswith("https://")
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_users_of_the_nodes_install_nothing() -> None:
    assert not (ROOT / "requirements.txt").exists()  # ComfyUI-Manager would install it
    assert not (ROOT / "install.py").exists()  # ComfyUI-Manager would run it


def test_comfy_cli_finds_the_pack_valid(checkout: Path, home: Path) -> None:
    comfy = Path(sys.executable).with_name("comfy")
    said = run(comfy, "--no-json", "node", "validate", cwd=checkout, home=home)
    assert "Security warnings found" not in said
    assert "All validation checks passed" in said


def test_archive_holds_what_users_need_and_no_more(archive: zipfile.ZipFile) -> None:
    names = set(archive.namelist())
    folders = PACKAGES | {"locales", "subgraphs", "workflows"}
    files = {"LICENSE", "README.md", "__init__.py", "py.typed", "pyproject.toml"}
    assert {name.split("/")[0] for name in names} <= folders | files
    assert {"LICENSE", "__init__.py", "pyproject.toml"} <= names

    tracked = subprocess.run(
        ["git", "ls-files", *sorted(folders)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(tracked.stdout.splitlines()) <= names


def test_every_node_is_in_the_menu(server: Server, checkout: Path) -> None:
    """Under its class name, and with an id that scanners can read without running anything."""
    shown = {
        name
        for name, info in json.loads(server.get("/object_info")).items()
        if info["python_module"] == f"custom_nodes.{PACK}"
    }
    written = {}
    for path in (checkout / "nodes").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "io.ComfyNode" in map(ast.unparse, node.bases):
                written[node.name] = node_ids(node)
    assert all(ids == [name] for name, ids in written.items()), written
    assert shown == set(written), server.log.read_text()


def node_ids(class_: ast.ClassDef) -> list[Any]:
    """The node_id of each schema in a class as it is written, where it is written out."""
    return [
        keyword.value.value
        for call in ast.walk(class_)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "io.Schema"
        for keyword in call.keywords
        if keyword.arg == "node_id" and isinstance(keyword.value, ast.Constant)
    ]


def test_every_help_page_is_served_with_its_pictures(server: Server, checkout: Path) -> None:
    docs = checkout / "nodes" / "web" / "docs"
    for file in [*docs.glob("*.md"), *docs.glob("images/*")]:
        name = file.relative_to(docs).as_posix()
        assert server.get(f"/extensions/{PACK}/docs/{name}") == file.read_bytes()


def test_templates_are_in_the_browser(server: Server, checkout: Path) -> None:
    templates: dict[str, Any] = json.loads(server.get("/api/workflow_templates"))
    titles = {path.stem for path in (checkout / "workflows").glob("*.json")}
    assert set(templates.get(PACK, [])) == titles
    for title in titles:
        picture = server.get(f"/api/workflow_templates/{PACK}/{title}.jpg")
        assert picture.startswith(b"\xff\xd8"), f"{title}.jpg is no JPEG"


def test_archive_edits_a_picture(
    server: Server, checkout: Path, home: Path, tmp_path: Path
) -> None:
    """With the model and the picture that come with it."""
    ip2p = Path(sys.executable).with_name("ip2p")
    workflow = checkout / "workflows" / "api" / "hair-color.json"
    where = ("--server", server.url, "--output", tmp_path, "--set", "Sampler.steps=2")
    run(ip2p, "run", workflow, *where, cwd=home, home=home)
    assert [path.suffix for path in tmp_path.iterdir()] == [".png"]


def test_wheel_holds_the_command_line_and_the_data(
    checkout: Path, home: Path, tmp_path: Path
) -> None:
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", tmp_path, ".", cwd=checkout, home=home)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in sorted(PACKAGES | {"locales", "workflows"}):
        for path in (checkout / folder).rglob("*"):
            if path.is_file():
                name = path.relative_to(checkout)
                assert f"instruct_pix2pix/{name}" in names, f"the wheel lacks {name}"
    assert "instruct_pix2pix/py.typed" in names
    assert not any("tests" in name or "benchmarks" in name for name in names)


def test_command_line_needs_no_torch(tmp_path: Path, home: Path) -> None:
    """As on a laptop; test_imports.py holds it to the modules that its own requirements bring."""
    code = (
        "import sys; sys.modules.update(comfy=None, numpy=None, torch=None); sys.argv[0] = 'ip2p'; "
        "from instruct_pix2pix.headless.cli import main; main()"
    )
    said = run(sys.executable, "-c", code, "--help", cwd=tmp_path, home=home)
    program = Path(sys.executable).with_name("ip2p")
    assert said == run(program, "--help", cwd=tmp_path, home=home)
