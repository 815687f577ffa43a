"""Recipes: instructions in proven wordings, with the two scales that suit them."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import defaults_of


@dataclass(frozen=True)
class Preset:
    """One kind of edit.

    wording    the instruction, with places for {value} and, in most, {subject}
    value      what to change to, where the user names nothing
    subject    whom, whose or what to change, where the user names nothing
    text_cfg   scale of the instruction, for Stable Diffusion 1.5
    image_cfg  scale of the picture, for Stable Diffusion 1.5
    needs      what the picture must show, and which mask helps
    """

    wording: str
    value: str
    subject: str
    text_cfg: float
    image_cfg: float
    needs: str

    def instruction(self, value: str = "", subject: str = "") -> str:
        """The sentence; what is empty or blank takes the preset's own."""
        return self.wording.format(
            value=value.strip() or self.value, subject=subject.strip() or self.subject
        )

    def scales(self, usual_text_cfg: float, usual_image_cfg: float) -> tuple[float, float]:
        """text_cfg and image_cfg for a checkpoint with these usual scales.

        Against the usual scales of Stable Diffusion 1.5, text_cfg keeps its ratio, and image_cfg
        its ratio of what is above 1: at 0 no text is heard, while at 1 the picture is not
        strengthened, and below it the result is driven away from the picture.
        """
        of_sd15 = defaults_of("text_cfg", "image_cfg")
        return (
            self.text_cfg * (usual_text_cfg / of_sd15["text_cfg"]),
            1 + (self.image_cfg - 1) * ((usual_image_cfg - 1) / (of_sd15["image_cfg"] - 1)),
        )


# The scales are for Stable Diffusion 1.5 checkpoints and stay within the range from which the
# authors' app draws them at random: text 6 to 9, image 1.2 to 1.8. Its 16 example instructions run
# at 7.5 and 1.5; image 1.2, from the authors' README, is for edits of the whole picture. 7 for
# make-up, 7.5 for hair and clothes and 9 for age are imaginAIry's, which kept image at 1.5. Where
# much is replaced it raised text to 10 and more; here that is the far end of the range, 9.
# The names are saved in workflows: add to them, but do not change them.
PRESETS: dict[str, Preset] = {
    "hair color": Preset(
        "change {subject} hair color to {value}", "blue", "the", 7.5, 1.5,
        "A head large enough to see the hair. A mask of the hair keeps the face.",
    ),
    "hairstyle": Preset(
        "give {subject} {value}", "curly hair", "them", 7.5, 1.5,
        "A head with room around it. A mask of head and hair, without the face.",
    ),
    "clothes": Preset(
        "make {subject} wear {value}", "a red dress", "them", 7.5, 1.5,
        "A person from the chest up or more. A mask of the clothes keeps the face.",
    ),
    "clothes color": Preset(
        "change the color of the {subject} to {value}", "green", "clothes", 7.5, 1.5,
        "The garment in plain view. A mask of it keeps the rest.",
    ),
    "glasses": Preset(
        "make {subject} wear {value}", "sunglasses", "them", 7.5, 1.5,
        "A large face: crop where it is small. A mask around the eyes.",
    ),
    "hat": Preset(
        "make {subject} wear {value}", "a beanie", "them", 7.5, 1.5,
        "Room above the head. A mask that reaches from the brows up.",
    ),
    "make-up": Preset(
        "make {subject} wear {value}", "red lipstick and eyeshadow", "them", 7.0, 1.5,
        "A large face: crop where it is small. A mask of the face.",
    ),
    "expression": Preset(
        "have {subject} {value}", "smile", "them", 7.5, 1.5,
        "A large face: crop where it is small. A mask of the face.",
    ),
    "age": Preset(
        "make {subject} {value}", "70 years old", "them", 9.0, 1.5,
        "A large face: crop where it is small. A mask of face and hair.",
    ),
    "weather": Preset(
        "change the weather to {value}", "cloudy", "", 7.5, 1.2,
        "An outdoor picture with sky. No mask: the light changes everywhere.",
    ),
    "season": Preset(
        "change the season to {value}", "winter", "", 7.5, 1.2,
        "An outdoor picture with trees, grass or ground. No mask.",
    ),
    "time of day": Preset(
        "make it {value}", "sunset", "", 7.5, 1.2,
        "An outdoor picture. No mask: the light changes everywhere.",
    ),
    "lighting": Preset(
        "add {value}", "dramatic lighting", "", 7.5, 1.2,
        "Any picture. No mask.",
    ),
    "background": Preset(
        "change the background to {value}", "a beach", "", 9.0, 1.2,
        "A subject that stands out. A mask of the background keeps the subject.",
    ),
    "material": Preset(
        "make {subject} out of {value}", "wood", "it", 9.0, 1.2,
        "One clear object. A mask of it keeps the surroundings.",
    ),
    "statue": Preset(
        "turn {subject} into {value}", "a bronze statue", "them", 9.0, 1.2,
        "A person or animal. A mask of it keeps the surroundings.",
    ),
    "art medium": Preset(
        "turn it into {value}", "a watercolor painting", "", 9.0, 1.2,
        "Any picture. No mask.",
    ),
    "artist": Preset(
        "as if it were by {value}", "Modigliani", "", 9.0, 1.2,
        "Any picture. No mask.",
    ),
    "photo effect": Preset(
        "convert to {value}", "black and white", "", 7.5, 1.5,
        "Any picture. No mask.",
    ),
    "add something": Preset(
        "add {value}", "fireworks to the sky", "", 9.0, 1.5,
        "Room for what is added. A mask of the place keeps the rest.",
    ),
}  # fmt: skip


def chosen(preset: str) -> Preset:
    """The preset of this name. Raises ValueError that lists them all."""
    if preset not in PRESETS:
        raise ValueError(f"preset: got {preset!r}; choose one of {', '.join(PRESETS)}.")
    return PRESETS[preset]


def listed() -> str:
    """The presets as a Markdown list, for the help pages."""
    rows = []
    for name, p in PRESETS.items():
        instruction = p.instruction(f"**{p.value}**", f"*{p.subject}*")
        rows.append(f"- **`{name}`**: {instruction}; {p.text_cfg}, {p.image_cfg}. {p.needs}")
    return "\n".join(rows) + "\n"
