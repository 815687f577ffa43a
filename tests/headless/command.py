"""The command `ip2p` as a process of its own, as a user starts it, and within this one."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from instruct_pix2pix.headless.cli import app, main

ROOT = Path(__file__).resolve().parents[2]
# Gives the pack its import name, as if it were installed.
PACK = """
import sys, types
pack = types.ModuleType("instruct_pix2pix")
pack.__path__ = [sys.argv.pop(1)]
sys.modules["instruct_pix2pix"] = pack
"""
IP2P = f"""{PACK}
from instruct_pix2pix.headless.cli import main
main()
"""


started = []  # by the running test, which the fixture `no_leftovers` ends


def ip2p(*arguments, **options):
    """Start the command line as a process of its own, which can be killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", IP2P, str(ROOT), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    started.append(process)
    return process


def finished(process):
    out, err = process.communicate(timeout=600)
    return process.returncode, out + (err or "")


def in_process(*arguments):
    """The same within this process, which saves its start."""
    said = io.StringIO()
    with (
        patch.object(sys, "argv", ["ip2p", *map(str, arguments)]),
        # `main` adds the groups of commands, as it does once in a process.
        patch.object(app, "registered_groups", [*app.registered_groups]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        pytest.raises(SystemExit) as end,
    ):
        main()
    return end.value.code, said.getvalue()
