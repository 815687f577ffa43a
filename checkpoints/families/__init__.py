"""The kinds of checkpoint that can edit, one file a family."""

from .family import Family, TextEncoder, UNetSigns
from .sd15 import SD15
from .sdxl import SDXL

__all__ = ["SD15", "SDXL", "Family", "TextEncoder", "UNetSigns", "family_of"]


def family_of(signs: UNetSigns) -> Family | None:
    """The family of a UNet by its signs, whether or not it edits; None for none that we know."""
    if signs.has_size or signs.context == 2048:
        return SDXL
    if signs.context == 1024 or signs.linear:
        return None
    return SD15
