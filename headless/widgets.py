"""The values that a saved node holds, by the names of its inputs.

The editor saves the values of a node's widgets, mostly by their order alone. So it must be known
which inputs have a widget and which other widgets the editor adds; where that does not come out
even, or a value is of another type than its input, the node is refused: a value under the wrong
name would be worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .errors import InputError

# Types with a widget of their own in the editor, beside lists.
WIDGETS = {
    *("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "COMFY_DYNAMICCOMBO_V3"),
    *("LOAD_3D", "LOAD_3D_ADVANCED", "PREVIEW_3D", "AUDIO_UI", "IMAGEUPLOAD", "AUDIOUPLOAD"),
}
UPLOADS = ("image_upload", "video_upload", "animated_image_upload")
CONTROL = ("fixed", "increment", "decrement", "randomize")
BUTTONS_3D = ("upload3dmodel", "uploadExtraResources", "clear")  # before the view of a 3D model
SEEDS = ("seed", "noise_seed")  # these have a control widget, also where nothing says so
NUMBERS = {"INT": (int, float), "FLOAT": (int, float), "BOOLEAN": (bool,), "STRING": (str,)}

Values = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """One input of a class, as the server describes it."""

    name: str
    kind: Any  # a type's name, or the list of a combo
    options: dict[str, Any]
    required: bool = True

    @property
    def has_widget(self) -> bool:
        if self.options.get("forceInput") or self.options.get("defaultInput"):
            return False
        marked = self.options.get("widgetType") or self.options.get("socketless")
        return bool(marked) or isinstance(self.kind, list) or self.kind in WIDGETS

    @property
    def may_have_widget(self) -> bool:
        """Whether a widget of a pack's own may hold it: what only links bring has no default."""
        fixed = isinstance(self.kind, list) or self.kind in WIDGETS
        return not fixed and "default" in self.options

    @property
    def controlled(self) -> bool:
        """Whether the editor puts its own widget under it, for what to do after a run."""
        flag = self.options.get("control_after_generate")
        return self.kind == "INT" and self.name in SEEDS if flag is None else bool(flag)

    @property
    def choices(self) -> list[Any]:
        listed = self.kind if isinstance(self.kind, list) else self.options.get("options")
        return listed if isinstance(listed, list) else []

    def chosen(self, value: Any) -> list[Spec]:
        """The further inputs that a dynamic combo has while `value` is chosen."""
        for option in self.choices if self.kind == "COMFY_DYNAMICCOMBO_V3" else ():
            if isinstance(option, dict) and option.get("key") == value:
                inner = specs_of(option.get("inputs"), f"{self.name}.")
                return [spec for spec in inner if spec.has_widget]
        return []

    def fits(self, value: Any) -> bool:
        allowed = NUMBERS.get(self.kind) if isinstance(self.kind, str) else None
        if allowed is None or value is None:
            return True
        return isinstance(value, allowed) and (isinstance(value, bool) is (self.kind == "BOOLEAN"))

    def default(self) -> Iterator[tuple[str, Any]]:
        """What the editor's widget holds where the workflow says nothing."""
        if self.kind == "COMFY_DYNAMICCOMBO_V3":
            if not self.required or not self.choices:
                return  # left to the server
            first = self.options.get("default", self.choices[0]["key"])
            yield self.name, first
            for inner in self.chosen(first):
                yield from inner.default()
        elif "default" in self.options:
            yield self.name, self.options["default"]
        elif self.choices:
            yield self.name, self.choices[0]
        elif self.options.get("socketless") and self.required:
            yield self.name, None


def specs_of(described: Any, prefix: str = "") -> Iterator[Spec]:
    """The inputs of an INPUT_TYPES dictionary, in order."""
    for group in ("required", "optional"):
        named = described.get(group) if isinstance(described, dict) else None
        for name, (kind, *rest) in (named or {}).items():
            options = rest[0] if rest and isinstance(rest[0], dict) else {}
            yield Spec(prefix + name, kind, options, group == "required")


def widget_values(node: dict[str, Any], described: dict[str, Any], title: str) -> Values:
    """Name and value of each widget of a saved node that its class knows.

    described  the class, in /object_info

    Raises InputError where the values do not fit the inputs.
    """
    sockets = {slot["name"] for slot in node.get("inputs") or () if not slot.get("widget")}
    specs = [
        spec
        for spec in specs_of(described["input"])
        if spec.has_widget or (spec.may_have_widget and spec.name not in sockets)
    ]
    saved = node.get("widgets_values") or []
    named = node.get("widgets_values_named")
    if isinstance(saved, dict) or isinstance(named, dict):
        given = saved if isinstance(saved, dict) else named
        found = by_name(specs, given or {})
    else:
        listed = list(listed_names(node))
        try:
            found = by_order(specs, list(saved), listed)
        except ValueError:
            if not names_fit(listed, list(saved), specs):
                raise InputError(
                    f"{title!r} was saved for another version of its node: its {len(saved)} values "
                    "do not fit; open it in the editor and export it with File > Export (API)"
                ) from None
            found = by_name(specs, dict(zip(listed, without_controls(saved, listed), strict=True)))
    for spec in specs_of(described["input"]):
        if not spec.has_widget and "default" in spec.options:
            found.setdefault(spec.name, spec.options["default"])
    return {name: wrapped(value) for name, value in found.items()}


def by_name(specs: Iterable[Spec], given: Values) -> Values:
    found: Values = {}
    for spec in specs:
        if spec.name in given:
            found[spec.name] = given[spec.name]
            if not spec.fits(given[spec.name]):
                raise InputError(f"{spec.name}: {str(given[spec.name])[:80]!r} is no {spec.kind}")
            found |= by_name(spec.chosen(given[spec.name]), given)
        else:
            found |= dict(spec.default())
    return found


def by_order(specs: list[Spec], saved: list[Any], listed: list[str]) -> Values:
    """Raises ValueError where values are left over, or one is of another type.

    listed  the names of the widgets that the saved node lists, if it does
    """
    found: Values = {}
    waiting, values, given = list(specs), list(saved), 0
    upload = any(spec.options.get(flag) for spec in specs for flag in UPLOADS)
    while waiting:
        spec = waiting.pop(0)
        if upload and not spec.required and values and values[0] == "image":
            values.pop(0)  # the editor's own button for files, behind the required inputs
            upload = False
        while spec.kind == "LOAD_3D" and values and values[0] in BUTTONS_3D:
            values.pop(0)
        if not values:  # an input that is newer than the workflow
            found |= dict(spec.default())
            continue
        value = values.pop(0)
        if not spec.fits(value):
            raise ValueError
        found[spec.name] = value
        given += 1
        waiting = spec.chosen(value) + waiting
        if spec.controlled and values and values[0] in CONTROL:
            values.pop(0)
    # Behind them comes what is not an input: what a node has shown, buttons, or, where the node
    # lists its inputs and all of them have their value, widgets of its own.
    certain = not specs or (set(listed) == set(found) and given == len(found))
    if not certain and not all(is_shown(value) for value in values):
        raise ValueError
    return found


def is_shown(value: Any) -> bool:
    """Whether a value can be that of a text display, a control or a button."""
    return value is None or isinstance(value, (str, dict))


def listed_names(node: dict[str, Any]) -> Iterator[str]:
    """The names of the widgets in the node's own list of inputs, which newer editors write."""
    for slot in node.get("inputs") or ():
        if isinstance(slot.get("widget"), dict):
            yield str(slot["widget"]["name"])


def without_controls(saved: Any, listed: list[str]) -> list[Any]:
    """The values without those of the controls under seeds, which are not listed."""
    values: list[Any] = []
    for value in saved:
        above = listed[len(values) - 1] if 0 < len(values) <= len(listed) else ""
        if not (value in CONTROL and "seed" in above.lower()):
            values.append(value)
    return values


def names_fit(listed: list[str], saved: list[Any], specs: list[Spec]) -> bool:
    """Whether the listed names are those of all the values, one each."""
    values = without_controls(saved, listed)
    kinds = {spec.name: spec for spec in specs}
    return len(values) == len(listed) > 0 and all(
        name not in kinds or kinds[name].fits(value)
        for name, value in zip(listed, values, strict=True)
    )


def wrapped(value: Any) -> Any:
    """A list marked as a value, since a plain one would be a link."""
    return {"__value__": value} if isinstance(value, list) else value
