"""What an application of the editor is in the drawn world: what it edits, how it is asked for."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..drawing import one

PEOPLE = (
    ("her", "her", "she"),
    ("his", "him", "he"),
    ("the", "them", "they"),
    ("the woman's", "the woman", "she"),
    ("the man's", "the man", "he"),
    ("the person's", "the person", "they"),
)


@dataclass(frozen=True)
class Wordings:
    """How people ask for an edit: for training, and others held out for the evaluation.

    {whose} is her, his, the or the woman's; {them} and {they} go with it. {old} is what the
    picture shows before the edit, {new} what it shows after it, {it} an object.
    """

    trained: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass
class Asked:
    """The change of one attribute from `source` to `target`, and the words to ask for it with."""

    source: Any
    target: Any
    old: str
    new: str
    words: dict[str, str]
    rng: np.random.Generator

    def one(self, *options: str) -> str:
        return one(self.rng, options)


def unsaid(scene: Any) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Attribute:
    """One attribute of the scenes of a kind.

    kind         portrait, landscape, object, or "" for all
    values       that it can take, the plain one first
    say          the wordings of a change; it may put further words into them
    nouns        what the values are called, where that is not their name
    region       what of the picture it shows in; "" for all
    plain_share  how often a sampled scene has the plain value; 0: as often as any other
    one_way      no edit leads to the plain value: what would come back cannot be known
    captions     how a caption of a scene says what it shows, see `captions`; nothing: it does not
    plain_said   how often a caption says the plain value
    """

    name: str
    kind: str
    values: tuple[str, ...]
    say: Callable[[Asked], Wordings]
    nouns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    region: str = ""
    plain_share: float = 0.0
    one_way: bool = False
    captions: Callable[[Any], tuple[str, ...]] = unsaid
    plain_said: float = 0.0

    def noun(self, value: str, rng: np.random.Generator) -> str:
        return one(rng, self.nouns.get(value, (value,)))

    def phrase(
        self, source: Any, target: Any, rng: np.random.Generator, held_out: bool = False
    ) -> str:
        """One wording of the change from `source` to `target`."""
        old, new = getattr(source, self.name), getattr(target, self.name)
        words = {"old": self.noun(old, rng), "new": self.noun(new, rng)}
        words["whose"], words["them"], words["they"] = one(rng, PEOPLE)
        asked = Asked(source, target, old, new, words, rng)
        wordings = self.say(asked)
        words["old"] = bare(words["old"])
        return one(rng, wordings.held_out if held_out else wordings.trained).format(**words)


@dataclass(frozen=True)
class Application:
    """A kind of edit.

    name      of the family of edits
    share     of all edits in training
    variants  renderings of it in a group of training scenes, see `data`
    """

    name: str
    attributes: tuple[Attribute, ...]
    share: float
    variants: int = 1


def bare(text: str) -> str:
    """A noun without its article."""
    return re.sub(r"^(an?|the) ", "", text)
