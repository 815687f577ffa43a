"""Every prompt in workflows/api/ runs by `ip2p run`, by comfy-cli, and by the documented script.

The scripts of docs/headless.md are run as they stand there, but for the address of the server.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from comfy_cli.command.run import execute
from instruct_pix2pix.edits.prompt import node
from instruct_pix2pix.edits.settings import BUILT_INS
from instruct_pix2pix.headless.workflow import load_prompt, patched
from PIL import Image

from .command import PACK, ROOT, finished, in_process, ip2p
from .graphs import colour

PROMPTS = {path.stem: load_prompt(path) for path in (ROOT / "workflows" / "api").glob("*.json")}
OFFLINE = sorted(
    name
    for name, prompt in PROMPTS.items()
    if any(built_in in json.dumps(prompt) for built_in in BUILT_INS)
)
SCRIPTS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "headless.md").read_text(), re.DOTALL)
(SCRIPT,) = (script for script in SCRIPTS if "urllib.request" in script)
(ONE_LINE,) = (script for script in SCRIPTS if "import edit" in script)
(CLIENT,) = (script for script in SCRIPTS if "asyncio.run" in script)


# Of what templates make many of, two.
FEWER = {
    "IP2PAutoGuidance": {"probes": 2},
    "IP2PGuidanceGrid": {"text_cfgs": "0.5, 2", "image_cfgs": "1.2"},
    "IP2PLoadPairs": {"limit": 2},
    "IP2PMakePairs": {"samples": 2, "keep": 2},
    "IP2PTrain": {"resolution": 64},
    "RepeatLatentBatch": {"amount": 2},
}


def test_the_documented_script_is_short_and_needs_nothing_installed():
    assert len([line for line in SCRIPT.splitlines() if line.strip()]) <= 21
    for name in re.match("import (.*)", SCRIPT)[1].split(", "):
        assert name.split(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("name", OFFLINE)
def test_a_prompt_runs_in_each_of_three_ways(comfyui, tmp_path, monkeypatch, name):
    """All three are queued at once; the server has the same pictures for all.

    comfy-cli runs within this process, which saves its start.
    """
    prompt = PROMPTS[name]
    for described in prompt.values():
        if "steps" in described["inputs"]:
            described["inputs"]["steps"] = 2  # the pictures themselves are the templates' concern
        described["inputs"] |= FEWER.get(described["class_type"], {})
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(prompt))
    (tmp_path / "ours").mkdir()
    (tmp_path / "script").mkdir()
    ours = ip2p("run", path, "-o", tmp_path / "ours", "--server", comfyui.url, "--json")
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, comfyui.url, path],
        cwd=tmp_path / "script",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    execute(str(path), "127.0.0.1", comfyui.port, wait=True, timeout=600)
    code, said = finished(ours)
    assert code == 0, said
    files = [Path(file) for file in json.loads(said)["outputs"]]
    code, said = finished(script)
    assert code == 0, said
    by_script = {(tmp_path / "script" / file).read_bytes() for file in said.split()}
    assert files and {file.read_bytes() for file in files} <= by_script
    assert all(min(Image.open(file).size) >= 128 for file in files)


def test_the_prompt_for_a_photo_and_a_checkpoint_runs_with_them(comfyui, picture, tmp_path):
    path = ROOT / "workflows" / "api" / "your-photo-your-checkpoint.json"
    own = ("--set", "Model.checkpoint=tiny.safetensors", "--image", f"Source={picture}")
    code, said = in_process("run", path, *own, "-o", tmp_path, "--server", comfyui.url)
    assert code == 0, said
    assert Image.open(tmp_path / f"{path.stem}-result.png").size == (48, 40)


def script(url, prompt, folder):
    """Run the documented script; its exit code, what it said, and the files of its folder."""
    folder.mkdir(exist_ok=True)
    path = folder.parent / f"{folder.name}.json"
    path.write_text(json.dumps(prompt))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, url, path],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return done.returncode, done.stdout + done.stderr, files


def test_the_readmes_script_writes_the_same_files_when_it_is_run_again(comfyui, tmp_path):
    prompt = colour(77, "script")
    prompt["3"] = node("Preview", "PreviewImage", images=["1", 0])
    code, said, first = script(comfyui.url, prompt, tmp_path / "first")
    assert code == 0 and list(first) == said.split() and len(first) == 1  # and no preview
    assert script(comfyui.url, prompt, tmp_path / "again") == (code, said, first)


def test_the_readmes_script_tells_of_a_job_that_failed(comfyui, tmp_path):
    prompt = load_prompt(ROOT / "workflows" / "api" / "weather.json")
    prompt = patched(prompt, {"Model.checkpoint": "broken.safetensors"})
    code, said, files = script(comfyui.url, prompt, tmp_path / "failed")
    assert code == 1 and "broken.safetensors" in said and not files, said


def twice(code, folder):
    """Run a documented program two times; what lies in its folder then."""
    for _ in range(2):
        command = [sys.executable, "-c", PACK + code, str(ROOT)]
        subprocess.run(command, cwd=folder, check=True, timeout=600)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))


def test_the_readmes_client_edits_a_folder(comfyui, picture, tmp_path):
    work = tmp_path / "work"
    (work / "photos").mkdir(parents=True)
    Image.open(picture).save(work / "photos" / "a.jpg")
    code = CLIENT.replace("http://127.0.0.1:8188", comfyui.url)
    assert twice(code, work) == ["edited/a.png", "photos/a.jpg"]
    assert Image.open(work / "edited" / "a.png").size == (48, 40)


def test_the_readmes_line_edits_a_photo(comfyui, picture, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    Image.open(picture).save(work / "photo.jpg")
    code = ONE_LINE.replace('snow")', f'snow", server={comfyui.url!r})')
    assert twice(code, work) == ["photo-make-it-snow.png", "photo.jpg"]
