"""Runs a program of this pack in ComfyUI's Python: `python program.py TREE MODULE ARGUMENTS`.

As a file, since that Python need not know the pack, whose folder may have any name.
"""

from __future__ import annotations

import runpy
import sys
import types
from pathlib import Path

PACK = "instruct_pix2pix"

if __name__ == "__main__":
    tree, module, *arguments = sys.argv[1:]
    pack = types.ModuleType(PACK)
    pack.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules[PACK] = pack
    sys.path[0] = tree  # ComfyUI in place of this folder, whose names would shadow others
    sys.argv = [module, *arguments]
    runpy.run_module(f"{PACK}.{module}", run_name="__main__")
