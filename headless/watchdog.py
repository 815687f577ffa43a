"""Runs ComfyUI's main.py, and ends it when the process that started it is gone.

    python watchdog.py TREE SCRATCH [ComfyUI's own arguments]

The parent holds the other end of our standard input. However it ends, SIGKILL included, the system
closes that pipe; then the scratch folder is removed and the whole process group is killed. It runs
under ComfyUI's Python, so it uses the standard library only.
"""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import sys
import threading


def end_with_parent(scratch: str) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    shutil.rmtree(scratch, ignore_errors=True)
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    tree, scratch, *arguments = sys.argv[1:]
    main = os.path.join(tree, "main.py")
    sys.argv = [main, *arguments]
    sys.path[0] = tree
    os.chdir(tree)
    threading.Thread(target=end_with_parent, args=(scratch,), daemon=True).start()
    runpy.run_path(main, run_name="__main__")
