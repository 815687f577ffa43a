"""Gives the pack its import name and puts the real ComfyUI on the path.

The pack root is imported as `instruct_pix2pix`, as pip installs it, without being on sys.path itself:
there its `nodes/` would shadow ComfyUI's `nodes.py`.
"""

import os
import sys
import types
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".comfyui")

pack = types.ModuleType("instruct_pix2pix")
pack.__path__ = [str(ROOT)]
sys.modules.setdefault("instruct_pix2pix", pack)

sys.path.insert(0, str(COMFYUI))

from comfy.cli_args import args  # noqa: E402  (needs the path above)

args.cpu = not torch.cuda.is_available()
