"""Captions of the drawn scenes, with the words of `applications`: what a picture shows, plainly.

A caption says everything that an edit can change, so that two scenes that differ in one attribute
can have captions that differ in its words alone: Prompt-to-Prompt wants such pairs.
"""

import re
from collections.abc import Sequence

import numpy as np

from .applications.application import Attribute
from .drawing import one, stream
from .instructions import ATTRIBUTES
from .landscapes import ATTRIBUTES as OF_LANDSCAPES
from .landscapes import Landscape
from .objects import SUBJECTS, Object
from .portraits import Portrait
from .scenes import Scene, attributes, kind_of, values, vary

# What no edit changes.
PEOPLE, BEARDED = ("a woman", "a man", "a person"), ("a man", "a person")
SURFACES = {"table": "on a table", "grass": "on the grass", "floor": "on the floor"}


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One wording, chosen by `rng`, of what the scene shows."""
    return caption_pair(scene, scene, rng)[0]


def caption_pair(source: Scene, target: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """The captions of both scenes in one wording: they differ where the scenes do."""
    wording = int(rng.integers(2**32))
    bearded = any(getattr(scene, "beard", "none") != "none" for scene in (source, target))
    people = BEARDED if bearded else PEOPLE
    return write(source, wording, people), write(target, wording, people)


def write(scene: Scene, wording: int, people: tuple[str, ...]) -> str:
    """The caption in the wording of that number.

    Every choice has a stream of its own, so that no attribute has a say in the words of another.
    """
    if isinstance(scene, Portrait):
        head, phrases = chosen(people, wording, "person"), list[str]()
    elif isinstance(scene, Landscape):
        head, phrases = f"a {scene.landmark}", []
    else:
        head, phrases = f"a {scene.subject}", [SURFACES[scene.surface]]
    known = [ATTRIBUTES.get((kind_of(scene), name)) for name in attributes(scene)]
    around = "{what}"
    for attribute in known:
        phrase = attribute and said(attribute, scene, wording)
        if phrase and "{what}" in phrase:
            around = phrase
        elif phrase:
            phrases.append(phrase)
    made = [phrase for phrase in phrases if phrase.startswith("made ")]
    things = [phrase for phrase in phrases if phrase.startswith("with ")]
    rest = [phrase for phrase in phrases if phrase not in made + things]
    listed = " and ".join(things).replace(" and with ", " and ")
    text = " ".join(part for part in (head, *made, listed, *rest) if part)
    return re.sub(r"\ba (?=[aeiou])", "an ", around.replace("{what}", text))


def said(attribute: Attribute, scene: Scene, wording: int) -> str:
    """What the caption says of the attribute; nothing where the picture shows nothing of it."""
    name, value = attribute.name, getattr(scene, attribute.name)
    options = attribute.captions(scene)
    plain = value == attribute.values[0]
    if not options or plain and stream(wording, f"{name} said").random() >= attribute.plain_said:
        return ""
    noun = chosen(attribute.nouns.get(value, (value,)), wording, f"{name} noun")
    fields = {other: getattr(scene, other) for other in attributes(scene)}
    phrase = chosen(options, wording, name)
    return phrase.format(**fields, new=noun, what="{what}")


def chosen(options: Sequence[str], wording: int, name: str) -> str:
    """The same place among as many options, whichever they are."""
    return one(stream(wording, name), options)


def told(caption: str) -> Scene | None:
    """The scene of a caption, of seed 0; None for a caption that `caption` would not write.

    What is not said is plain.
    """
    found: Scene | None = None
    left = caption
    for head, scene in HEADS.items():
        if match := re.search(rf"\b{head}\b", caption):
            found, left = scene, cut(left, match)
            break
    if found is None:
        return None
    for phrase in SURFACES.values() if isinstance(found, Object) else ():
        if match := re.search(rf"\b{phrase}\b", left):
            surface = next(name for name, words in SURFACES.items() if words == phrase)
            found, left = vary(found, surface=surface), cut(left, match)
    for name in attributes(found):
        attribute = ATTRIBUTES.get((kind_of(found), name))
        if attribute is None:
            continue
        matches = [
            (match, value)
            for value in attribute.values[not attribute.plain_said :]
            for pattern in patterns(attribute, vary(found, **{name: value}))
            if (match := re.search(pattern, left))
        ]
        if matches:
            match, value = max(matches, key=lambda both: len(both[0][0]))
            found, left = vary(found, **{name: value}, **match.groupdict()), cut(left, match)
        elif attribute.plain_said == 1:
            return None
    return found if not left.strip() else None


def patterns(attribute: Attribute, scene: Scene) -> list[str]:
    """What a caption may say of the attribute's value, with other attributes as named groups."""
    value = getattr(scene, attribute.name)
    found = []
    for wording in attribute.captions(scene):
        for noun in attribute.nouns.get(value, (value,)):
            text = re.escape(wording.replace("{new}", noun).replace("{what}", "").strip())
            text = re.sub(r"^with\\ ", "(?:with|and)\\\\ ", text)
            fields = re.findall(r"\\{(\w+)\\}", text)
            for field in fields:
                options = "|".join(values(field))
                text = text.replace(f"\\{{{field}\\}}", f"(?P<{field}>{options})")
            found.append(rf"(?<!\S){text}(?!\S)")
    return found


def cut(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + text[match.end() :]


# What a caption begins with, and the plain scene that it is of.
HEADS: dict[str, Scene] = {
    **{person: Portrait(0) for person in PEOPLE},
    **{f"a {landmark}": Landscape(0, landmark=landmark) for landmark in OF_LANDSCAPES["landmark"]},
    **{f"a {subject}": Object(0, subject=subject) for subject in SUBJECTS},
}
