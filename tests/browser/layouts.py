"""What the templates say and where they show it; templates.py makes them."""

from __future__ import annotations

from dataclasses import dataclass

NOTE = 0

Cells = list[list[int]]


@dataclass(frozen=True)
class Layout:
    """How a template is shown.

    note    Markdown beside the nodes
    groups  title and columns of node ids, left to right; NOTE stands for the note
    """

    note: str
    groups: tuple[tuple[str, Cells], ...]


OWN = """

**Your own photo:** add a *Load Image* node and connect it wherever *Source* is connected.
**Your own checkpoint:** choose it in *Model*, and set `text_cfg` 7.5 and `image_cfg` 1.5, which
suit it better than the built-in ip2p-mini. That knows drawn people, landscapes and things only; for
photos see the template *Your photo, your checkpoint*."""
SCALES = (
    "\n\nToo little changes? Raise `text_cfg` or lower `image_cfg` a little. Too much? The other "
    "way round. Or try another `seed`."
)
MODEL_AND_SOURCE = ("Model and picture", [[1, 2, NOTE]])
EDIT = ("Edit", [[5, 6, 7]])
BEFORE_AND_AFTER = ("Before and after", [[9], [8]])
PLAIN = (MODEL_AND_SOURCE, ("What to change", [[4, 3]]), EDIT, BEFORE_AND_AFTER)


def several(*names: str) -> tuple[tuple[str, Cells], ...]:
    """One picture and an edit for each name, with node ids from 10, 20, ... on."""
    edits = (
        (name.capitalize(), [[first, first + 1, first + 2, first + 3], [first + 4]])
        for first, name in zip(range(10, 100, 10), names, strict=False)
    )
    return (("Model and picture", [[1, 2, NOTE], [3, 9]]), *edits)


LAYOUTS = {
    "Hair color": Layout(
        "Press **Run**. Then write another color into *Instruction*: black, blonde, red, purple, "
        "green." + SCALES + OWN,
        PLAIN,
    ),
    "Virtual try-on": Layout(
        "Press **Run**. Then describe other clothes in *Instruction*: *put on a blue suit*, *wear "
        "a yellow t-shirt*." + SCALES + OWN,
        PLAIN,
    ),
    "Weather - sunny to cloudy": Layout(
        "Press **Run**. Then ask for other weather in *Instruction*: *make it rain*, *make it "
        "snow*, *make it foggy*." + SCALES + OWN,
        PLAIN,
    ),
    "Season - summer to winter": Layout(
        "Press **Run**. Then ask for another season in *Instruction*: *what if it were spring?*, "
        "*turn summer into autumn*. The time of day works too: *make it night*." + SCALES + OWN,
        PLAIN,
    ),
    "Change the background": Layout(
        "Press **Run**. Then name another place in *Instruction*: *put her in front of a forest*, "
        "*change the background to a library*, *mountains*, *a city at night*." + SCALES + OWN,
        PLAIN,
    ),
    "Virtual makeup": Layout(
        "Press **Run**. Then try other make-up in *Instruction*: *give her purple lips*, *put on "
        "green eye shadow*." + SCALES + OWN,
        PLAIN,
    ),
    "Hairstyle, glasses and hats": Layout(
        "One portrait, three edits. Write others into the instructions: *give her a bun*, *make "
        "him bald*, *put glasses on her*, *give him a beanie*, *take off the hat*." + OWN,
        several("hairstyle", "glasses", "hat"),
    ),
    "Material - wood, marble, bronze": Layout(
        "One thing, three materials. Others that the built-in model knows: glass and gold. Choose "
        "the vase, the bust or the car in *Source*, and name it in the instructions." + OWN,
        several("wood", "marble", "bronze"),
    ),
    "Art medium": Layout(
        "One picture in three media. Others that the built-in model knows: an oil painting, a "
        "mosaic, black and white." + OWN,
        several("sketch", "watercolor", "comic"),
    ),
    "Edit only a region": Layout(
        "White in the mask may change; black stays as it is, to the bit. The mask goes to *Encode "
        "source*, which keeps the model to it, and to *Restore*, which puts the rest of the "
        "original back. `feather` softens the edge inside the mask.\n\nFor a mask of your own, "
        "right-click the picture in *Load Image* and open the Mask Editor." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change, and where", [[4, 3, 10]]),
            EDIT,
            BEFORE_AND_AFTER,
        ),
    ),
    "Several seeds at once": Layout(
        "One run, four attempts: *How many* repeats the source, and each copy gets noise of its "
        "own. Keep the best; another `seed` gives four others." + OWN,
        (MODEL_AND_SOURCE, ("What to change", [[4, 3, 10]]), EDIT, BEFORE_AND_AFTER),
    ),
    "Compare guidance": Layout(
        "The same edit with four values of `image_cfg`: the higher, the more stays as it was. "
        "Find the value for a new picture like this, then keep one sampler. `text_cfg` works the "
        "other way round." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change", [[4, 3, 9]]),
            *(
                (f"image_cfg {scale}", [[first + 3, first, first + 1, first + 2]])
                for first, scale in ((10, "1.0"), (20, "1.25"), (30, "1.5"), (40, "2.0"))
            ),
        ),
    ),
    "Advanced - any sampler and sigmas": Layout(
        "*Guider* brings the two scales to ComfyUI's own custom sampling. Any sampler, any noise "
        "levels and any noise can be connected to *Sample*.\n\n`latent_image` is the encoded "
        "source, so a mask works here too." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change", [[4, 3]]),
            ("How to sample", [[13, 10, 11, 12]]),
            ("Edit", [[5, 6, 7]]),
            BEFORE_AND_AFTER,
        ),
    ),
    "Edit only what was asked": Layout(
        "Nobody paints a mask here: *Find the region* asks the model where the instruction "
        "changes the picture. Only that region is edited, and all else stays as it is, to the "
        "bit.\n\nToo small or too large a region? Change `threshold` or `grow`. Edits of the "
        "whole picture, like weather, have no region." + OWN,
        (
            ("Model and picture", [[1, 2, NOTE]]),
            ("What to change", [[3, 4]]),
            ("Where", [[10, 11]]),
            ("Edit", [[12, 5, 6, 7]]),
            BEFORE_AND_AFTER,
        ),
    ),
    "Small face, big edit": Layout(
        "A small face has few pixels, and the model sees fewer still. With `fit` *around mask*, "
        "*Encode source* shows it the mask's surroundings only, large; *Restore* puts them back "
        "where they were.\n\nThe six nodes of the example only make a small face: for your own "
        "photo, connect *Load Image* and its mask instead." + OWN,
        (
            ("Model and picture", [[1, 2, NOTE]]),
            ("An example: a small face", [[10, 15, 11], [12, 13, 14]]),
            ("What to change", [[4, 3]]),
            EDIT,
            BEFORE_AND_AFTER,
        ),
    ),
    "Guidance grid": Layout(
        "The same edit with every pair of two lists of scales, labelled. Read off the pair that "
        "suits the picture, then use it in *IP2PKSampler*." + OWN,
        (MODEL_AND_SOURCE, ("What to change", [[4, 3]]), ("Grid", [[5, 9]]), ("Sheet", [[8]])),
    ),
    "Auto-tune the two scales": Layout(
        "*Auto guidance* tries pairs of scales in few steps, asks the model which result it "
        "believes most, and makes that edit. *Report* says what was tried. More `keep` holds on "
        "to the picture, less follows the instruction." + OWN,
        (
            MODEL_AND_SOURCE,
            ("What to change", [[4, 3]]),
            ("Edit", [[5, 6, 7]]),
            ("Before and after", [[9], [8], [10]]),
        ),
    ),
    "Edit in turns": Layout(
        "One instruction a line in *Turns*, each made on the last one's result, in latents: the "
        "picture is not worn out by decoding and encoding in between. All turns come out, so "
        "going back is picking an earlier one." + OWN,
        (MODEL_AND_SOURCE, ("Turns", [[3, 5]]), ("Back to pixels", [[6, 7]]), BEFORE_AND_AFTER),
    ),
    "With LoRA and ControlNet": Layout(
        "LoRAs and ControlNets for Stable Diffusion 1.5 work here as in any other graph. Put into "
        "ComfyUI's `models`, or let the editor offer the downloads when this template is opened:"
        "\n\n- `checkpoints`: `instruct-pix2pix-00-22000.safetensors`, 7.7 GB, from "
        "`timbrooks/instruct-pix2pix`\n- `loras`: `add_detail.safetensors`, 38 MB, from "
        "`OedoSoldier/detail-tweaker-lora`, or any of yours for SD 1.5\n- `controlnet`: "
        "`control_v11p_sd15_canny_fp16.safetensors`, 723 MB, from "
        "`comfyanonymous/ControlNet-v1-1_fp16_safetensors`\n\nPress `R` afterwards, choose your "
        "photo in *Source*, and press **Run**. The LoRA adds detail; with a negative strength it "
        "takes some away. The ControlNet holds on to the edges of your photo, so `image_cfg` may "
        "be lower than usual: *Apply ControlNet*'s `strength` and `end_percent` say how firmly."
        "\n\nThe edges are found in the decoded source, which is your photo as the model sees "
        "it: they lie where its pixels lie, whatever the photo's size.",
        (
            ("Checkpoint, photo and LoRA", [[1, 2], [10, NOTE]]),
            ("What to change", [[4, 3]]),
            ("ControlNet", [[13, 11, 12, 14], [15]]),
            EDIT,
            ("After", [[8]]),
        ),
    ),
    "Your photo, your checkpoint": Layout(
        "1. Put `instruct-pix2pix-00-22000.safetensors` (from `timbrooks/instruct-pix2pix` on "
        "Hugging Face, 7.7 GB) into `models/checkpoints`; the editor offers the download when "
        "this template is opened. Press `R`, then choose it in *Model*.\n2. Choose or drop your "
        "photo in *Source*. Any size: the result comes back in the same size and framing.\n3. "
        "Write an order into *Instruction*: *make it look like winter*, *give him a beard*, *turn "
        "it into a watercolor painting*." + SCALES,
        (
            ("Checkpoint and photo", [[1, 2]]),
            ("What to change", [[4, 3, NOTE]]),
            EDIT,
            ("After", [[8]]),
        ),
    ),
}
