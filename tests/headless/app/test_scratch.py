"""What a killed page leaves behind goes with the next page; what is in use stays."""

import os
import signal
import subprocess
import sys

from instruct_pix2pix.headless.app.scratch import PREFIX, Scratch, remove_abandoned

from ..command import PACK, ROOT

PAGE = """
from instruct_pix2pix.headless.app.scratch import Scratch
scratch = Scratch()
(scratch.path / "photo.png").write_bytes(b"x")
print(scratch.path, flush=True)
sys.stdin.read()
"""


def test_the_folder_of_a_killed_page_goes_and_that_of_another_page_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stranger = tmp_path / "ip2p-other"
    stranger.mkdir()
    ours = Scratch()
    command = [sys.executable, "-c", PACK + PAGE, str(ROOT)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pages = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # which it reads until it is killed
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    try:
        lives, killed = (page.stdout.readline().strip() for page in pages)
        pages[1].send_signal(signal.SIGKILL)
        pages[1].wait()
        for folder in tmp_path.iterdir():
            os.utime(folder, (0, 0))
        young = tmp_path / f"{PREFIX}young"
        young.mkdir()  # another page is about to lock it
        remove_abandoned()
        assert {str(path) for path in tmp_path.iterdir()} == {
            str(path) for path in (stranger, ours.path, lives, young)
        }
        assert killed not in map(str, tmp_path.iterdir())
    finally:
        for page in pages:
            page.kill()
            page.communicate()
    ours.remove()
    assert not ours.path.exists()
