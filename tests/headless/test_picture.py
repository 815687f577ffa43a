"""What people bring is edited as a viewer shows it, or refused in a sentence that says why."""

import asyncio
import io

import numpy as np
import pillow_heif
import pytest
from instruct_pix2pix.edits.prompt import node
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.errors import InputError
from instruct_pix2pix.headless.picture import read_picture
from PIL import Image, ImageCms, ImageOps

from .command import in_process

pillow_heif.register_heif_opener()
Y, X = np.mgrid[:24, :32]
COLOURS = np.stack([8 * X, 10 * Y, (X * Y) % 256], axis=-1).astype(np.uint8)
GREY16 = (2000 * X + 97 * Y).astype(np.uint16)
ALPHA = np.where(X < 16, 255, 64).astype(np.uint8)
TURNED = Image.Exif()
TURNED[0x0112] = 6  # the camera was held upright


def profile(swapped):
    """The bytes of sRGB; or of a profile under which red is blue and blue is red."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if swapped:
        for old, new in ((b"rXYZ", b"----"), (b"bXYZ", b"rXYZ"), (b"----", b"bXYZ")):
            data = data.replace(old, new)
    return data


def on(ground):
    opaque = ALPHA[..., None].astype(int)
    mixed = (COLOURS * opaque + ground * (255 - opaque)) / 255
    return np.rint(mixed)


def pictures():
    """name, picture, how to save it, and the pixels that a viewer shows."""
    rgb, grey = Image.fromarray(COLOURS), Image.fromarray(GREY16)
    rgba = Image.fromarray(np.dstack([COLOURS, ALPHA]))
    seen16 = np.rint(GREY16 / 257)[..., None].repeat(3, axis=-1)
    palette = rgb.quantize(64)
    shown = np.asarray(palette.convert("RGB")).copy()
    hidden = palette.getpixel((3, 4))
    shown[np.asarray(palette) == hidden] = 255
    yield "plain.png", rgb, {}, COLOURS
    yield "16-bit.png", grey, {}, seen16
    yield "16-bit.tif", grey, {}, seen16
    yield "16-bit-turned.png", grey, {"exif": TURNED}, np.rot90(seen16, -1)
    yield "turned.png", rgb, {"exif": TURNED}, np.rot90(COLOURS, -1)
    yield "alpha.png", rgba, {}, on(255)
    yield "alpha-turned.webp", rgba, {"lossless": True, "exif": TURNED}, np.rot90(on(255), -1)
    yield "palette.png", palette, {"transparency": hidden}, shown
    yield "key.png", rgb, {"transparency": tuple(map(int, COLOURS[7, 9]))}, None
    yield "srgb.png", rgb, {"icc_profile": profile(False)}, COLOURS
    yield "swapped.png", rgb, {"icc_profile": profile(True)}, COLOURS[..., ::-1]
    yield (
        "swapped-turned.tif",
        rgb,
        {"icc_profile": profile(True), "exif": TURNED},
        np.rot90(COLOURS, -1)[..., ::-1],
    )
    cmyk = rgb.convert("CMYK")
    yield "cmyk.tif", cmyk, {}, np.asarray(cmyk.convert("RGB"))
    yield "cmyk.jpg", cmyk, {"quality": 95}, None
    yield "ycbcr.tif", rgb.convert("YCbCr"), {}, None
    yield "jpeg.tif", rgb, {"compression": "jpeg"}, None
    yield "photo.jpg", rgb, {"quality": 95}, None
    yield "photo-turned.jpg", rgb, {"quality": 95, "exif": TURNED}, None
    yield "whole.jpg", rgb, {"quality": 95, "subsampling": "4:4:4"}, None
    yield "grey.jpg", rgb.convert("L"), {"quality": 95}, None
    yield "turned.avif", rgb, {"quality": 100, "subsampling": "4:4:4", "exif": TURNED}, None
    yield (
        "frames.gif",
        palette.convert("RGB").quantize(),
        {"save_all": True, "append_images": [rgb]},
        None,
    )
    yield "pages.tif", rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}, COLOURS
    yield "frames.png", rgb, {"save_all": True, "append_images": [rgb.rotate(180)]}, COLOURS
    yield "lossless.avif", rgb, {"quality": 100, "subsampling": "4:4:4"}, None
    yield "phone.heic", rgb, {"quality": 90}, None


CASES = {name: rest for name, *rest in pictures()}
NOTED = {
    **dict.fromkeys(("alpha.png", "alpha-turned.webp", "palette.png", "key.png"), "transparent"),
    **dict.fromkeys(("frames.gif", "pages.tif", "frames.png"), "only the first of its 2 frames"),
}
UNTOUCHED = ("plain.png", "turned.png", "srgb.png", "whole.jpg", "grey.jpg")


@pytest.fixture
def brought(request, tmp_path):
    picture, options, shown = CASES[request.param]
    path = tmp_path / request.param
    picture.save(path, **options)
    if shown is None:
        with Image.open(path) as saved:
            shown = np.asarray(ImageOps.exif_transpose(saved).convert("RGB"))
        if request.param == "key.png":
            shown = shown.copy()
            shown[7, 9] = 255
    return path, shown


async def decoded(url, picture, folder, **loader):
    """What the server's own loader makes of an upload."""
    async with Client(url) as client:
        ref = await client.upload(picture)
        prompt = {"load": node("Load", **{"class_type": "LoadImage", "image": ref.annotated})}
        if loader:
            prompt["load"] = node("Load", "LoadImageMask", image=ref.annotated, **loader)
            prompt["grey"] = node("Grey", "MaskToImage", mask=["load", 0])
        images = ["grey" if loader else "load", 0]
        prompt["save"] = node("Save", "SaveImage", images=images, filename_prefix="decoded")
        result = await client.run(prompt)
        assert len(result.outputs) == 1
        await client.save(result.outputs[0].file, folder / "decoded.png")
    return np.asarray(Image.open(folder / "decoded.png").convert("RGB")).astype(int)


@pytest.mark.parametrize("brought", CASES, indirect=True)
def test_the_server_decodes_what_a_viewer_shows(brought, comfyui, tmp_path):
    path, shown = brought
    picture = read_picture(path)
    pixels = asyncio.run(decoded(comfyui.url, picture, tmp_path))
    assert pixels.shape == shown.shape
    # A profile and a JPEG's colours have an error of their own; else a mix is rounded.
    most = 3 if path.name in ("whole.jpg", "grey.jpg") else 2 if "swapped" in path.name else 1
    assert np.abs(pixels - shown).max() <= most
    note = NOTED.get(path.name)
    assert note in picture.notes[0] if note else picture.notes == ()
    assert (picture.data == path.read_bytes()) == (path.name in UNTOUCHED)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "txt"])
def test_the_content_counts_and_not_the_suffix(suffix, tmp_path):
    path = tmp_path / f"wrong.{suffix}"
    Image.fromarray(COLOURS).save(path, "JPEG", subsampling="4:4:4")
    picture = read_picture(path)
    assert picture.name.endswith(".jpg") and picture.data == path.read_bytes()


def test_the_second_picture_of_a_phones_file_is_no_frame(tmp_path):
    path = tmp_path / "phone.jpg"
    rgb = Image.fromarray(COLOURS)
    rgb.save(path, "MPO", save_all=True, append_images=[rgb.rotate(90)], subsampling="4:4:4")
    picture = read_picture(path)
    assert picture.notes == () and picture.data == path.read_bytes()


def encoded(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
REFUSED = {
    **{
        f"cut.{kind}": (encoded(NOISE, kind)[:2500], "the file is damaged")
        for kind in ("jpeg", "png", "webp", "tiff", "gif", "bmp")
    },
    "float.tif": (encoded(Image.fromarray(np.float32(X)), "TIFF"), "floating-point"),
    "wide.tif": (encoded(Image.fromarray(np.int32(X) * 10**6), "TIFF"), "32-bit numbers from 0"),
    "empty.png": (b"", "is empty"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "page.eps": (encoded(NOISE, "EPS"), "not a picture"),
    "text.png": (b"hello", "not a picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shown_is_refused_with_its_reason(name, tmp_path):
    data, reason = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=reason) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)


def test_a_folder_and_a_missing_file_are_called_so(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_picture(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_picture(tmp_path / "photo.jpg")


MASKS = {
    "grey.png": (Image.fromarray(ALPHA), ALPHA, None),
    "16-bit.png": (Image.fromarray(ALPHA.astype(np.uint16) * 257), ALPHA, None),
    "painted.png": (
        Image.fromarray(np.dstack([np.full((24, 32, 3), 255, np.uint8), ALPHA])),
        ALPHA,
        "transparent parts are taken as black",
    ),
    "black.png": (Image.new("L", (32, 24)), np.zeros((24, 32)), "nothing changes"),
    "red.png": (Image.new("RGB", (32, 24), (255, 0, 0)), np.full((24, 32), 255), "colours"),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_the_white_that_a_viewer_shows(name, comfyui, tmp_path):
    image, shown, note = MASKS[name]
    image.save(tmp_path / name)
    mask = read_picture(tmp_path / name, "mask")
    pixels = asyncio.run(decoded(comfyui.url, mask, tmp_path, channel="red"))
    assert np.abs(pixels - shown[..., None]).max() <= 1
    assert note in mask.notes[0] if note else mask.notes == ()


def test_a_workflows_own_input_keeps_its_transparency_and_frames(tmp_path):
    path = tmp_path / "cut-out.png"
    Image.fromarray(np.dstack([COLOURS, ALPHA])).save(path, icc_profile=profile(True))
    with Image.open(io.BytesIO(read_picture(path, "input").data)) as sent:
        assert sent.mode == "RGBA"
        kept = np.asarray(sent).astype(int)
    assert (kept[..., 3] == ALPHA).all() and np.abs(kept[..., 2::-1] - COLOURS).max() <= 2
    animation = tmp_path / "moving.gif"
    NOISE.save(animation, save_all=True, append_images=[NOISE.rotate(90)])
    assert read_picture(animation, "input").data == animation.read_bytes()
    pages = tmp_path / "pages.tif"
    NOISE.save(pages, save_all=True, append_images=[NOISE.rotate(90)])
    assert read_picture(pages, "input").data == pages.read_bytes()


def test_the_command_refuses_a_cut_photo_and_tells_of_a_black_mask(comfyui, picture, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(REFUSED["cut.jpeg"][0])
    target = tmp_path / "out.png"
    options = ("-o", target, "--checkpoint", "tiny.safetensors", "--steps", 1)
    code, said = in_process("edit", cut, "make it snow", *options, "--server", comfyui.url)
    assert code == 3 and "damaged or not whole" in said and not target.exists()
    mask = tmp_path / "black.png"
    Image.new("L", Image.open(picture).size).save(mask)
    options = (*options, "--mask", mask, "--server", comfyui.url)
    code, said = in_process("edit", picture, "make it snow", *options)
    assert code == 0 and "note: black.png: the mask has no white, so nothing changes" in said
    assert (np.asarray(Image.open(target)) == np.asarray(Image.open(picture))).all()
