"""The pictures that the templates open with, put into ComfyUI's input folder where they are not."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import folder_paths

logger = logging.getLogger(__name__)

PICTURES = Path(__file__).resolve().parents[1] / "workflows" / "pictures"


def put_examples() -> None:
    """Copy each picture of `workflows/pictures/` that the input folder has no file of that name of.

    A file that is there stays as it is, whatever it holds. Where the folder cannot be written to,
    the log says so: the templates then ask for a picture, and all else works.
    """
    folder = Path(folder_paths.get_input_directory())
    try:
        for picture in sorted(PICTURES.glob("*.png")):
            if not (folder / picture.name).exists():
                folder.mkdir(parents=True, exist_ok=True)
                # Two servers may start at once, and neither may see half a picture.
                part = folder / f".{picture.name}.{os.getpid()}"
                shutil.copyfile(picture, part)
                part.replace(folder / picture.name)
    except OSError as error:
        logger.warning("InstructPix2Pix: the pictures of the templates are missing: %s", error)
