"""Which triples of a language model are kept: a closed list of rules, each with its name.

Prompt-to-Prompt needs captions of mostly the same words, CLIP reads 77 tokens, and a model that is
trained on one sentence a thousand times learns that sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .clip_tokens import LIMIT

WORDS = 2, 25  # of an instruction
MOST_CHANGED = 0.6  # of the words of a caption
SHARE, ALWAYS = 0.005, 5  # of all triples that one instruction may be; and how often it may anyway
ASCII_LETTERS = 0.9


@dataclass
class Rules:
    """The rules, with what they have seen so far.

    count_tokens  the CLIP tokens of a text; None where no vocabulary is at hand: not checked
    banned        words that may stand in no text, in any case
    """

    count_tokens: Callable[[str], int] | None = None
    banned: frozenset[str] = frozenset()
    instructions: Counter[str] = field(default_factory=Counter)

    def refusal(
        self, caption: str, instruction: str, edited: str, siblings: Iterable[str] = ()
    ) -> str:
        """Why a triple is refused, as the name of a rule; "" for one that is kept.

        siblings  the instructions that are kept for this caption already
        """
        words = instruction.split()
        texts = (caption, instruction, edited)
        if not instruction.strip() or not edited.strip():
            return "empty"
        if len((instruction.strip() + edited.strip()).splitlines()) > 1:
            return "line break"
        if not WORDS[0] <= len(words) <= WORDS[1]:
            return "length of the instruction"
        if normal(instruction).startswith(normal(caption)):
            return "begins with the caption"
        if normal(edited) == normal(caption):
            return "nothing changed"
        if changed_share(caption, edited) > MOST_CHANGED:
            return "captions too different"
        if any(not is_english(text) for text in texts[1:]):
            return "not in English letters"
        if self.banned & {word for text in texts for word in re.findall(r"\w+", text.lower())}:
            return "banned word"
        if self.count_tokens and any(self.count_tokens(text) > LIMIT for text in texts):
            return "too long for CLIP"
        if normal(instruction) in {normal(sibling) for sibling in siblings}:
            return "twice for one caption"
        often = self.instructions[normal(instruction)] + 1
        if often > max(ALWAYS, SHARE * (self.instructions.total() + 1)):
            return "too frequent"
        return ""

    def keep(self, instruction: str) -> None:
        """Count an instruction that is kept."""
        self.instructions[normal(instruction)] += 1


def normal(text: str) -> str:
    """The form in which the authors compare: without blanks and marks at the ends, lower case."""
    return text.strip().strip(".!?").lower()


def changed_share(a: str, b: str) -> float:
    """The edit distance between two captions in words, as a share of the longer; 0..1."""
    first, second = normal(a).split(), normal(b).split()
    return edit_distance(first, second) / max(len(first), len(second), 1)


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words must be put in, taken out or replaced (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


def is_english(text: str) -> bool:
    """Whether nearly all letters are English ones: CLIP's text encoder has learnt no others."""
    letters = [letter for letter in text if letter.isalpha()]
    plain = sum(letter.isascii() for letter in letters)
    return bool(letters) and plain >= ASCII_LETTERS * len(letters)
