"""The kinds of checkpoint that can edit, one file a family."""

from .family import Family, TextEncoder, UNetSigns
from .sd15 import SD15
from .sd21 import SD21
from .sdxl import SDXL

__all__ = ["FAMILIES", "SD15", "SD21", "SDXL", "Family", "TextEncoder", "UNetSigns", "family_of"]

FAMILIES = (SD15, SD21, SDXL)


def family_of(signs: UNetSigns) -> Family:
    """The family of a UNet by its signs, whether or not it edits."""
    if signs.has_size or signs.context == 2048:
        return SDXL
    if signs.context == 1024 or signs.linear:
        return SD21
    return SD15
