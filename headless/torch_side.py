"""Starts programs of this pack that need torch, in a process of ComfyUI's Python."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from .errors import ExecutionFailed, InputError
from .server import PACK, find_comfyui

WRONG_INPUT = 3  # the exit code of a program whose standard output says what to correct


def run_program(module: str, arguments: Sequence[str], processes: int = 1) -> str:
    """Run `module` of the pack, such as "metrics.measure", to its end; its standard output.

    processes  how many of it work together, as torchrun starts them

    Its standard error is ours. Ctrl-C and SIGTERM reach it, and it is waited for. Raises
    ComfyUINotFound; InputError where it found its input wrong; ExecutionFailed where it failed.
    """
    installation = find_comfyui()
    script = str(PACK / "headless" / "program.py")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    many = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    starter = [installation.python, *(many if processes > 1 else [])]
    process = subprocess.Popen(
        [*starter, script, str(installation.tree), module, *arguments],
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        told, _ = process.communicate()
    except KeyboardInterrupt:  # the whole group has got it
        process.wait()
        raise
    finally:
        process.terminate()
        process.wait()
    if process.returncode == WRONG_INPUT:
        raise InputError(told.strip())
    if process.returncode:
        raise ExecutionFailed(module, f"exit code {process.returncode}", "it says why above")
    return told
