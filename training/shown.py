"""Pairs that are looked at while training: their loss, and their edits as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..pairs.pair import Pair, open_picture
from ..pictures.sheet import Sheet
from .batches import Batches
from .samples import Condition, edit, held_out_batch
from .settings import RunError, Settings
from .step import Batch

SHOWN = 4
HEIGHT = 192


class Shown:
    """The pairs behind the trained ones in `batches.latents`.

    measured  whether they are held out, so that their loss tells something
    """

    def __init__(
        self, folder: Path, batches: Batches, vae: Any, pairs: Sequence[Pair], measured: bool
    ) -> None:
        self.folder, self.batches, self.vae = folder, batches, vae
        self.pairs, self.measured = pairs, measured

    def _of(self, number: int) -> tuple[Tensor, Tensor, int, int]:
        """Source and target latent of a pair [1, 4, h, w] and its size in pixels."""
        index = len(self.batches.pairs) + number
        encoded = self.batches.latents.batch([index], [False])
        height, width = self.batches.latents.shapes[index]
        device, target = self.batches.net.alphas.device, self.batches.net.scaled(encoded.mean)
        return encoded.source.to(device), target.to(device), 8 * height, 8 * width

    @torch.no_grad()
    def loss(self, errors: Callable[[Batch], Tensor]) -> float | None:
        """The mean held-out loss, None where nothing is held out.

        errors  the squared errors [B, 4, h, w] of a batch
        """
        if not self.measured:
            return None
        losses = []
        for number, pair in enumerate(self.pairs):
            source, target, *size = self._of(number)
            asked, null = (self._condition(text, size) for text in (pair.instruction, ""))
            taught = self.batches.settings.distill
            batch = held_out_batch(source, target, asked, null, number, taught)
            losses.append(float(errors(batch).mean()))
        return sum(losses) / len(losses)

    def _condition(self, text: str, size: Sequence[int]) -> Condition:
        height, width = size
        encoded, vector = self.batches.conditions([text], height, width)
        device = self.batches.net.alphas.device
        return encoded.to(device), None if vector is None else vector.to(device)

    @torch.no_grad()
    def edits(self, text_cfg: float, image_cfg: float) -> list[Image.Image]:
        """The edit of every shown pair as the model does it now at these scales."""
        pictures = []
        for number, pair in enumerate(self.pairs):
            source, _, *size = self._of(number)
            conditions = (self._condition(text, size) for text in (pair.instruction, ""))
            texts, vectors = zip(*conditions, strict=True)
            latent = edit(self.batches.net, source, texts, vectors, number, text_cfg, image_cfg)
            raw = self.batches.net.base.latent_format.process_out(latent.float().cpu())
            pixels = self.vae.decode(raw)[0].clamp(0, 1).cpu().numpy()
            pictures.append(Image.fromarray((255 * pixels).round().astype(np.uint8)))
        return pictures

    def start(self, settings: Settings) -> None:
        """Keep the edits of the untrained model, to be shown beside the others."""
        for number, picture in enumerate(self.edits(settings.text_cfg, settings.image_cfg)):
            self._save(picture, f"start-{number}.png")

    def sheet(self, step: int, settings: Settings) -> Image.Image:
        """Before, at the start, now, after: a row for each pair; kept as samples/step-N.jpg."""
        rows = []
        edits = self.edits(*settings.scales)
        for number, (pair, now) in enumerate(zip(self.pairs, edits, strict=True)):
            start = self.folder / f"start-{number}.png"
            began = Image.open(start) if start.is_file() else now
            rows.append([open_picture(pair.source), began, now, open_picture(pair.target)])
        first = rows[0][0]
        size = max(1, round(HEIGHT * first.width / first.height)), HEIGHT
        columns = ["before", "at the start", f"step {step}", "after"]
        asked = [words for pair in self.pairs for words in (pair.instruction, "", "", "")]
        sheet = Sheet(columns, [""] * len(rows), size, asked)
        for row, pictures in enumerate(rows):
            for column, picture in enumerate(pictures):
                sheet.paste(picture, column, row)
        self._save(sheet.image, f"step-{step}.jpg")
        return sheet.image

    def _save(self, picture: Image.Image, name: str) -> None:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
        except OSError as error:
            raise RunError(
                f"{path} cannot be written ({error}). Free space on the disk."
            ) from error
