"""The words that a text encoder was never trained on, where its table of tokens shows them."""

from __future__ import annotations

import logging
import re
from typing import Any

from comfy.sd1_clip import SDTokenizer
from torch import Tensor

WORD = re.compile(r"[^\W\d_]+")
# What is not a word: the names of embeddings, and the ends of don't, it's and the like.
PASSED_OVER = re.compile(r"embedding:\S+|['\u2019](s|t|re|ve|m|ll|d)\b", re.IGNORECASE)


class WarningTokenizer(SDTokenizer):
    """CLIP's tokenizer for an encoder of few words: it says in the log which ones it lacks.

    table    the encoder's rows of tokens [n, width]; a token that training never met has zeros
    options  what ComfyUI gives a tokenizer
    """

    def __init__(self, table: Tensor, **options: Any):
        super().__init__(**options)
        self.known = (table != 0).any(1)

    def unknown_words(self, text: str) -> list[str]:
        """The words of `text` of which any token was never trained on, each once, in order."""
        words = dict.fromkeys(WORD.findall(PASSED_OVER.sub(" ", text)))
        return [word for word in words if not self.known[self.tokens(word)].all()]

    def tokens(self, word: str) -> list[int]:
        """The numbers of a word's tokens, without CLIP's marks of start and end."""
        numbers: list[int] = self.tokenizer(word)["input_ids"][1:-1]
        return numbers

    def tokenize_with_weights(self, text: str, *arguments: Any, **options: Any) -> Any:
        if unknown := self.unknown_words(text):
            logging.warning(
                "the built-in model does not know: %s. What it makes of these words is chance; "
                "it knows a few hundred English ones, about the edits that its templates show.",
                ", ".join(unknown),
            )
        return super().tokenize_with_weights(text, *arguments, **options)
