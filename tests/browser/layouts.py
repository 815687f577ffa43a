"""What the templates say and where they show it; templates.py makes them."""

from __future__ import annotations

from dataclasses import dataclass

NOTE = "Note"

# Titles of nodes, from top to bottom, for each column from left to right.
Columns = list[list[str]]


@dataclass(frozen=True)
class Layout:
    """How a template is shown.

    twin      its prompt in workflows/api/
    note      Markdown beside the nodes
    groups    title and columns, left to right; NOTE stands for the note
    compared  whether its pictures are to be compared: then its seed stays after a run
    form      the title and the widget of each input of its form, for editors with an app mode
    """

    twin: str
    note: str
    groups: tuple[tuple[str, Columns], ...]
    compared: bool = False
    form: tuple[tuple[str, str], ...] = ()


OWN = (
    "\n\n**Your photo:** choose it in *Source*.\n**Your checkpoint:** choose it in *Model*, and "
    "set `text_cfg` and `image_cfg` to the usual scales of InstructPix2Pix, 7.5 and 1.5. The "
    "built-in ip2p-mini knows drawings only."
)
SCALES = (
    "\n\nToo little changes? Raise `text_cfg`, or lower `image_cfg` a little. Too much? The other "
    "way round. Each **Run** is another attempt."
)
REGION = (
    "\n\n*Find the region* asks the model where the instruction acts, and *Restore* keeps all else "
    "of your picture, to the bit. To take it out: select it and press `Ctrl` + `B`."
)
NEEDS = (
    "\n\nNeeds the node pack **InstructPix2Pix**: clone its repository into `ComfyUI/custom_nodes`."
)
PICTURE = ("Picture and model", [["Source", "Model"]])
CHANGE = ("What to change", [[NOTE, "Instruction"]])
RESULT = ("Result", [["Decode", "Restore", "Result"]])
# A node that samples is the last of its column: it grows downwards to show its preview.
WHOLE = (PICTURE, CHANGE, ("Edit", [["Encode source", "Sampler"]]), RESULT)
FOUND = ("Edit", [["Encode source", "Find the region"], ["Sampler"]])
LOCAL = (PICTURE, CHANGE, FOUND, RESULT)
BY_PRESET = ("What to change", [[NOTE, "Preset", "Instruction"]])
SCALE_FORM = (("Sampler", "text_cfg"), ("Sampler", "image_cfg"), ("Sampler", "seed"))
BY_SENTENCE = (("Source", "image"), ("Instruction", "instruction"), *SCALE_FORM)
PRESET_FORM = (("Source", "image"), ("Preset", "preset"), ("Preset", "value"), *SCALE_FORM)
DOWNLOAD = (
    "Put `instruct-pix2pix-00-22000.safetensors` (7.7 GB, from `timbrooks/instruct-pix2pix` on "
    "Hugging Face) into `models/checkpoints`; the editor offers the download. Press `R`, then "
    "choose it in *Model*."
)

LAYOUTS = {
    "Edit only what was asked - InstructPix2Pix": Layout(
        "edit-only-what-was-asked",
        "Press **Run**. Nobody paints a mask: *Find the region* asks the model where the "
        "instruction acts. Only there is the picture edited; all else stays, to the bit.\n\nToo "
        "small or too large a region? Change `threshold` or `grow`. An edit of the whole picture, "
        "such as weather, has no region." + OWN,
        (
            PICTURE,
            CHANGE,
            ("Where", [["Encode source, whole", "Find the region", "Where the model looks"]]),
            ("Edit", [["Encode source, region", "Sampler"]]),
            RESULT,
        ),
    ),
    "Edit hair color - InstructPix2Pix": Layout(
        "hair-color",
        "Press **Run**. Then write another color into *Instruction*: black, blonde, purple, "
        "green." + SCALES + REGION + OWN,
        LOCAL,
    ),
    "Edit clothes - virtual try-on - InstructPix2Pix": Layout(
        "virtual-try-on",
        "Press **Run**. Then describe other clothes in *Instruction*: *put on a red dress*, *wear "
        "a blue suit*." + SCALES + REGION + OWN,
        LOCAL,
    ),
    "Edit make-up - InstructPix2Pix": Layout(
        "virtual-makeup",
        "Press **Run**. Then try other make-up in *Instruction*: *give her purple lips*, *put on "
        "green eye shadow*." + SCALES + REGION + OWN,
        LOCAL,
    ),
    "Edit hairstyle, glasses and hats - InstructPix2Pix": Layout(
        "hairstyle-glasses-and-hats",
        "Press **Run**. *Preset* writes the sentence: choose `glasses`, `hat`, `hairstyle`, "
        "`make-up` or `clothes`, and say in `value` what to change to: *a beanie*, *a bun*, *a "
        "ponytail*. Its scales are for real checkpoints; connect them to *Sampler* if you use "
        "one." + REGION + OWN,
        (PICTURE, BY_PRESET, FOUND, RESULT),
    ),
    "Edit material - wood, marble, bronze - InstructPix2Pix": Layout(
        "material-wood-marble-bronze",
        "Press **Run**. Then name another material in *Instruction*: *turn it into marble*, *make "
        "it bronze*, glass, gold." + SCALES + REGION + OWN,
        LOCAL,
    ),
    "Edit weather - sunny to cloudy - InstructPix2Pix": Layout(
        "weather-sunny-to-cloudy",
        "Press **Run**. Then ask for other weather in *Instruction*: *make it rain*, *make it "
        "snow*, *make it foggy*." + SCALES + OWN,
        WHOLE,
    ),
    "Edit season - summer to winter - InstructPix2Pix": Layout(
        "season-summer-to-winter",
        "Press **Run**. Then ask for another season in *Instruction*: *what if it were spring?*, "
        "*turn summer into autumn*. The time of day works too: *make it night*." + SCALES + OWN,
        WHOLE,
    ),
    "Edit the background - InstructPix2Pix": Layout(
        "change-the-background",
        "Press **Run**. Then name another place in *Instruction*: *put her in front of a forest*, "
        "*change the background to a library*, *a city at night*, *a beach*." + SCALES + OWN,
        WHOLE,
    ),
    "Edit art medium - InstructPix2Pix": Layout(
        "art-medium",
        "Press **Run**. Then name another medium in *Instruction*: *turn it into a pencil sketch*, "
        "*an oil painting*, *a comic*, *a mosaic*, *black and white*." + SCALES + OWN,
        WHOLE,
    ),
    "Edit a region that you paint - InstructPix2Pix": Layout(
        "edit-only-a-region",
        "Paint the region: right-click *Source*, *Open in Mask Editor*. The example has a mask of "
        "the hair.\n\nThe painted region may change; all else stays, to the bit. The mask goes to "
        "*Encode source* alone: the frame takes it to *Restore*, where `feather` softens its edge."
        + OWN,
        WHOLE,
    ),
    "Edit a small face - InstructPix2Pix": Layout(
        "small-face-big-edit",
        "A small face has few pixels, and the model sees fewer still. With `fit` *around mask*, "
        "*Encode source* shows the model the surroundings of the mask only, large; *Restore* puts "
        "them back.\n\nPaint the mask over the face: right-click *Source*, *Open in Mask Editor*."
        + OWN,
        WHOLE,
    ),
    "Edit with several seeds - InstructPix2Pix": Layout(
        "several-seeds-at-once",
        "One run, four attempts: *How many* repeats the source, and each copy gets noise of its "
        "own. Keep the best; another `seed` gives four others." + OWN,
        (
            PICTURE,
            CHANGE,
            ("Edit", [["Encode source", "How many", "Sampler"]]),
            RESULT,
        ),
        compared=True,
    ),
    "Edit in turns - InstructPix2Pix": Layout(
        "edit-in-turns",
        "One instruction a line in *Turns*, each made on the result of the last one. The picture "
        "stays a latent in between, so that it is not worn out. `mask_each` keeps what a turn was "
        "not asked to change. All turns come out: to go back, pick an earlier one." + OWN,
        (
            PICTURE,
            ("Edit", [[NOTE, "Encode source"], ["Turns"]]),
            RESULT,
        ),
    ),
    "Guidance - compare plain and held back - InstructPix2Pix": Layout(
        "compare-guidance",
        "The same edit twice at a high `text_cfg`, which burns colors and contrast. *Guidance* "
        "ends the push at half of the steps (`text_end`): the edit stays, and the picture looks "
        "natural. `rescale` 0.7 takes contrast back instead." + OWN,
        (
            PICTURE,
            CHANGE,
            ("Plain", [["Encode source", "Sampler, plain"]]),
            ("Held back", [["Guidance", "Sampler, with guidance"]]),
            ("Result", [["Both", "Decode", "Restore", "Result"]]),
        ),
        compared=True,
    ),
    "Fast - one evaluation a step - InstructPix2Pix": Layout(
        "one-evaluation-a-step",
        "The same edit twice, in 20 steps. *Sampler, exact* runs the network three times a step. "
        "*LoRA* has learnt what comes of that at 7.5 and 1.5, so *Sampler, distilled* runs it "
        "once, with `text_cfg` 1 and `image_cfg` 1: less than half of the time. `strength_model` "
        "is the strength of the guidance.\n\nThe LoRA is for ip2p-mini. For another checkpoint "
        "train one: `ip2p train --distill`.\n\n**Few steps:** LoRAs for 4 to 8 steps of your "
        "checkpoint's family go into the same place, at scales of 1:\n\n"
        "- Hyper-SD, Lightning: `euler`, `sgm_uniform`\n"
        "- LCM: `lcm`, `sgm_uniform`, and *ModelSamplingDiscrete* with `lcm` behind *LoRA*",
        (
            PICTURE,
            CHANGE,
            ("Exact", [["Encode source", "Sampler, exact"]]),
            ("Distilled", [["LoRA", "Sampler, distilled"]]),
            ("Result", [["Both", "Decode", "Restore", "Result"]]),
        ),
        compared=True,
    ),
    "Guidance - grid of both scales - InstructPix2Pix": Layout(
        "guidance-grid",
        "The same edit with every pair of two lists of scales. Read off the pair that suits the "
        "picture, then use it in *Sampler* of another template: `text_cfg` follows the "
        "instruction, `image_cfg` keeps the picture." + OWN,
        (PICTURE, CHANGE, ("Edit", [["Encode source", "Grid"]]), ("Sheet", [["Result"]])),
        compared=True,
    ),
    "Guidance - find both scales - InstructPix2Pix": Layout(
        "auto-tune-the-two-scales",
        "*Auto guidance* tries pairs of scales in few steps, asks the model which result it "
        "believes most, and makes that edit. *Report* says what was tried. More `keep` holds on "
        "to the picture, less follows the instruction." + REGION + OWN,
        (
            PICTURE,
            CHANGE,
            ("Edit", [["Encode source", "Find the region"], ["Auto guidance"]]),
            ("Result", [["Decode", "Restore", "Result", "Report"]]),
        ),
        compared=True,
    ),
    "Make before and after pairs - InstructPix2Pix": Layout(
        "make-pairs",
        "Press **Run**. *Make pairs* draws a picture from each of the two captions, four times, "
        "by Prompt-to-Prompt: training pairs for an editor of your own. Write other captions of "
        "mostly the same words: *a woman with long red hair* and *a woman with short red hair*; "
        "*a vase on a table* and *a vase made of gold on a table*.\n\n**Your model:** any Stable "
        "Diffusion 1.x, 2.x or SDXL, by *Load Checkpoint*; then set `cfg_from` and `cfg_to` to 7.5 "
        "and 15, and connect a CLIP vision model, which keeps the best. The built-in model draws "
        "its own drawings only.",
        (
            ("Model", [["Model", NOTE]]),
            ("Pairs", [["Make pairs"]]),
            ("Result", [["Result, before", "Result, after"], ["Report"]]),
        ),
    ),
    "Teach your own edit - pairs folder - InstructPix2Pix": Layout(
        "teach-your-own-edit",
        "Press **Run**: from seventeen pairs of pictures, before and after, ip2p-mini learns an "
        "edit that it does not know: a line round the picture. That takes minutes on a CPU, and "
        "seconds on a GPU. *Sampler* uses it at once; *Held-out pairs* shows what it was not "
        "trained on. A stopped run goes on.\n\n**Your edit:** put pictures of equal names into "
        "`input/mine/before` and `input/mine/after`, three or more wordings into "
        "`input/mine/instructions.txt`, a line each, and write `mine` into *Pairs*. Look at "
        "*Pairs, seen* before you wait.\n\n**Your checkpoint:** choose it in *Model*; then `steps` "
        "500, `learning_rate` 0.0001, `keep` 0.5, and scales of 7.5 and 1.5. *Keep the LoRA* "
        "writes it to `output/loras`. For hours of training there is the command `ip2p train`.",
        (
            ("Pairs and model", [[NOTE, "Model", "Pairs"]]),
            (
                "Teach",
                [["Train", "Pairs, seen"], ["Held-out pairs", "Keep the LoRA", "Loss"]],
            ),
            ("Use it at once", [["Source", "Instruction", "Encode source", "Sampler"]]),
            RESULT,
        ),
        compared=True,
    ),
    "Advanced - any sampler and sigmas - InstructPix2Pix": Layout(
        "advanced-any-sampler-and-sigmas",
        "*Guider* brings the two scales to the custom sampling of ComfyUI. Any sampler, any noise "
        "levels and any noise can be connected to *Sample*.\n\n`latent_image` is the encoded "
        "source, so that a mask works here too." + OWN,
        (
            PICTURE,
            CHANGE,
            (
                "How to sample",
                [["Encode source", "Noise", "Sampler", "Sigmas"], ["Guider", "Sample"]],
            ),
            RESULT,
        ),
    ),
    "Advanced - LoRA and ControlNet - InstructPix2Pix": Layout(
        "with-lora-and-controlnet",
        "LoRAs and ControlNets of Stable Diffusion 1.5 work as in any graph. Into `models` go, and "
        "the editor offers the downloads:\n\n- `checkpoints`: "
        "`instruct-pix2pix-00-22000.safetensors`, 7.7 GB, from `timbrooks/instruct-pix2pix`\n"
        "- `loras`: `add_detail.safetensors`, 38 MB, from `OedoSoldier/detail-tweaker-lora`\n"
        "- `controlnet`: `control_v11p_sd15_canny_fp16.safetensors`, 723 MB, from "
        "`comfyanonymous/ControlNet-v1-1_fp16_safetensors`\n\nThe ControlNet holds on to the edges "
        "of your photo, so `image_cfg` may be lower than usual.",
        (
            ("Picture and models", [["Source", "Model"], ["LoRA", "ControlNet", NOTE]]),
            (
                "What to change",
                [["Instruction", "Encode source", "Decoded source", "Edges", "Edges, seen"]],
            ),
            ("Edit", [["Apply ControlNet", "Sampler"]]),
            RESULT,
        ),
    ),
    "Edit your photo with your pix2pix checkpoint - InstructPix2Pix": Layout(
        "your-photo-your-checkpoint",
        f"1. {DOWNLOAD}\n2. Choose or drop your photo in *Source*, of any size: the result has the "
        "same size and framing.\n3. Write an order into *Instruction*: *make it look like autumn*, "
        "*give him a beard*, *turn it into a watercolor painting*." + SCALES,
        WHOLE,
    ),
    "Your style as an editor - InstructPix2Pix": Layout(
        "your-style-as-an-editor",
        "Any Stable Diffusion 1.5 model becomes an editor: *Merge* adds what *Your style* has "
        "learned beyond *SD 1.5* to *Model*. The result edits by instruction and draws like your "
        "model.\n\nInto `models/checkpoints` go, and the editor offers the downloads:\n\n"
        "- *Model*: `instruct-pix2pix-00-22000.safetensors`, 7.7 GB, from "
        "`timbrooks/instruct-pix2pix`\n"
        "- *Your style*: `DreamShaper_8_pruned.safetensors`, 2.1 GB, from `Lykon/DreamShaper`, or "
        "a model of your own\n"
        "- *SD 1.5*: `v1-5-pruned-emaonly-fp16.safetensors`, 2.1 GB, from "
        "`Comfy-Org/stable-diffusion-v1-5-archive`\n\nToo much of the look? Lower `multiplier`. To "
        "keep the new editor, connect *Save Checkpoint (InstructPix2Pix)* to *Merge*." + SCALES,
        (
            ("Picture and models", [["Source", "Model"], ["Your style", "SD 1.5", NOTE]]),
            ("Editor", [["Merge", "Instruction"]]),
            *WHOLE[2:],
        ),
    ),
    "App - hair stylist": Layout(
        "app-hair-stylist",
        "A form in newer editors: photo, `hair color` or `hairstyle`, and what to change to."
        + REGION
        + OWN,
        (PICTURE, BY_PRESET, FOUND, RESULT),
        form=PRESET_FORM,
    ),
    "App - virtual try-on": Layout(
        "app-virtual-try-on",
        "A form in newer editors: photo, `clothes`, `glasses` or `hat`, and what to put on."
        + REGION
        + OWN,
        (PICTURE, BY_PRESET, FOUND, RESULT),
        form=PRESET_FORM,
    ),
    "App - weather and season": Layout(
        "app-weather-and-season",
        "A form in newer editors: photo, `season`, `weather` or `time of day`, and which." + OWN,
        (PICTURE, BY_PRESET, *WHOLE[2:]),
        form=PRESET_FORM,
    ),
    "App - your photo": Layout(
        "app-your-photo",
        f"A form in newer editors: your photo, an instruction, and the scales. {DOWNLOAD}" + SCALES,
        WHOLE,
        form=BY_SENTENCE,
    ),
}
