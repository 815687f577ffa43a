"""Prompts of core nodes: quick, and with every outcome that a job can have."""

from instruct_pix2pix.edits.prompt import node


def invert(image, prefix="invert"):
    """The negative of an uploaded picture."""
    return {
        "1": node("Source", "LoadImage", image=image),
        "2": node("Invert", "ImageInvert", image=["1", 0]),
        "3": node("Result", "SaveImage", images=["2", 0], filename_prefix=prefix),
    }


def colour(value=0, prefix="colour", size=16):
    """A flat picture, from nothing."""
    return {
        "1": node("Colour", "EmptyImage", width=size, height=size, batch_size=1, color=value),
        "2": node("Result", "SaveImage", images=["1", 0], filename_prefix=prefix),
    }


def slow(value=0, size=512, times=16):
    """Seconds of blurring, one node after the other, so that it can be interrupted."""
    prompt = {"0": node("Colour", "EmptyImage", width=size, height=size, batch_size=1, color=value)}
    for i in range(times):
        blur = node(f"Blur {i}", "ImageBlur", image=[str(i), 0], blur_radius=31, sigma=10.0)
        prompt[str(i + 1)] = blur
    prompt["end"] = node("Result", "PreviewImage", images=[str(times), 0])
    return prompt
