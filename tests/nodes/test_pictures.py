"""The picture nodes with a real VAE, on the kinds of pictures that people load."""

import comfy.sampler_helpers
import comfy.sd
import folder_paths
import numpy as np
import pytest
import torch
from instruct_pix2pix.mini.scenes import SAMPLES
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource, IP2PRestore, IP2PSampleImage
from instruct_pix2pix.pictures.frame import fit_keep_size, fit_training_size, to_working
from PIL import Image

import nodes as core_nodes

NARROW = {
    "ddconfig": {
        "double_z": True,
        "z_channels": 4,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    },
    "embed_dim": 4,
}


def narrow_vae(z_channels=4):
    ddconfig = NARROW["ddconfig"] | {"z_channels": z_channels}
    config = {"params": {"ddconfig": ddconfig, "embed_dim": z_channels}}
    shapes = comfy.sd.VAE(sd={}, config=config).first_stage_model.state_dict()
    generator = torch.Generator().manual_seed(0)
    sd = {key: torch.randn(t.shape, generator=generator) * 0.1 for key, t in shapes.items()}
    return comfy.sd.VAE(sd=sd, config=config, dtype=torch.float32)


pytestmark = pytest.mark.usefixtures("inference_mode")


@pytest.fixture(scope="module")
def vae():
    return narrow_vae()


def picture_of(width, height, channels=3, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, height, width, channels, generator=generator)


def encode(image, vae, fit="training size", resolution=64, mask=None, **margin):
    return IP2PEncodeSource.execute(image, vae, fit, resolution, mask, **margin).result


def restore(image, frame, mask=None, feather=0, match_color="off"):
    return IP2PRestore.execute(image, frame, feather, match_color, mask).result[0]


@pytest.mark.parametrize(
    ("node", "inputs", "outputs"),
    [
        (
            IP2PEncodeSource,
            ["image", "vae", "fit", "resolution", "mask", "margin"],
            [("LATENT", "source"), ("IP2P_FRAME", "frame")],
        ),
        (
            IP2PRestore,
            ["image", "frame", "mask", "feather", "match_color"],
            [("IMAGE", "image")],
        ),
        (IP2PSampleImage, ["scene", "seed"], [("IMAGE", "image"), ("MASK", "mask")]),
    ],
)
def test_schema_is_the_contract(node, inputs, outputs):
    schema = node.GET_SCHEMA()
    assert schema.node_id == node.__name__ and schema.category == "InstructPix2Pix"
    assert [entry.id for entry in schema.inputs] == inputs
    assert [(entry.io_type, entry.display_name) for entry in schema.outputs] == outputs
    assert all(entry.tooltip for entry in [*schema.inputs, *schema.outputs])
    assert schema.description


@pytest.mark.parametrize("fit", ["training size", "keep size"])
@pytest.mark.parametrize("size", [(64, 64), (97, 33), (1, 50), (50, 1), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_source_is_what_the_vae_makes_of_the_working_image(vae, fit, size, channels):
    picture = picture_of(*size, channels, batch=2)
    before = picture.clone()
    source, frame = encode(picture, vae, fit)
    rgb = picture[..., :3] if channels > 1 else picture.expand(-1, -1, -1, 3)
    expected = fit_training_size(rgb, 64) if fit == "training size" else fit_keep_size(rgb)
    assert torch.equal(source["samples"], vae.encode(to_working(rgb, expected)))
    assert source["samples"].shape == (
        2,
        4,
        frame.working_height // 8,
        frame.working_width // 8,
    )
    assert list(source) == ["samples"] and frame.latents is source["samples"]
    assert frame.original is picture and torch.equal(picture, before)


def test_latent_is_the_unscaled_mode(vae):
    picture = picture_of(64, 64)
    source, _ = encode(picture, vae)
    again, _ = encode(picture, vae)
    assert torch.equal(source["samples"], again["samples"])
    model = vae.first_stage_model
    moments = model.quant_conv(model.encoder(picture.movedim(-1, 1) * 2 - 1))
    assert torch.allclose(source["samples"], moments.chunk(2, 1)[0], atol=1e-5)


def test_mask_becomes_cores_noise_mask(vae):
    picture = picture_of(97, 50, batch=2)
    for count, size in ((1, (50, 97)), (2, (50, 97)), (1, (64, 64)), (2, (7, 300))):
        mask = (torch.rand(count, *size) > 0.5).float()
        source, _ = encode(picture, vae, mask=mask)
        noise_mask, samples = source["noise_mask"], source["samples"]
        assert noise_mask.shape == (count, 1, *samples.shape[-2:])
        assert noise_mask.min() >= 0 and noise_mask.max() <= 1
        prepared = comfy.sampler_helpers.prepare_mask(noise_mask, samples.shape, "cpu")
        assert torch.equal(prepared[:, :1], noise_mask.expand(2, -1, -1, -1))
    source, _ = encode(picture, vae, mask=torch.ones(50, 97))
    assert (source["noise_mask"] == 1).all()


def test_the_frame_takes_the_mask_along_unless_another_is_connected(vae):
    picture = picture_of(97, 50, batch=2)
    left, right = spot(97, 50, 0, 0, 40, 50), spot(97, 50, 60, 0, 97, 50)
    for mask in (left, torch.cat((left, right))):
        _, frame = encode(picture, vae, mask=mask)
        _, plain = encode(picture, vae)
        edit = picture_of(frame.working_width, frame.working_height, batch=2, seed=1)
        assert torch.equal(restore(edit, frame), restore(edit, plain, mask))
        assert torch.equal(restore(edit, frame, right), restore(edit, plain, right))
        white = torch.ones(1, 8, 8)
        assert torch.equal(restore(edit, frame, white), restore(edit, plain))


def test_black_mask_is_said_to_change_nothing(vae, caplog):
    source, _ = encode(picture_of(64, 64), vae, mask=torch.zeros(1, 64, 64))
    assert (source["noise_mask"] == 0).all()
    assert "all black" in caplog.text


BAD_PICTURES = {
    "rank": (torch.zeros(8, 8, 3), r"image: got the shape \[8, 8, 3\]"),
    "channels": (torch.zeros(1, 8, 8, 2), r"image: got the shape \[1, 8, 8, 2\]"),
    "no pictures": (torch.zeros(0, 8, 8, 3), "holds no pixels"),
    "no width": (torch.zeros(1, 8, 0, 3), "holds no pixels"),
    "nan": (torch.full((1, 8, 8, 3), torch.nan), "not numbers"),
    "infinite": (torch.full((1, 8, 8, 3), torch.inf), "not numbers"),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_pictures_are_refused_with_a_reason(vae, kind):
    picture, message = BAD_PICTURES[kind]
    with pytest.raises(ValueError, match=message):
        encode(picture, vae)
    with pytest.raises(ValueError, match=message):
        restore(picture, fit_keep_size(picture_of(8, 8)))


BAD_MASKS = {
    "rank": (torch.zeros(1, 1, 8, 8), r"mask: got the shape \[1, 1, 8, 8\]"),
    "empty": (torch.zeros(1, 0, 8), r"mask: got the shape \[1, 0, 8\]"),
    "batch": (torch.zeros(3, 8, 8), "got 3 masks for 2 pictures"),
    "nan": (torch.full((1, 8, 8), torch.nan), "not numbers"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_bad_masks_are_refused_with_a_reason(vae, kind):
    mask, message = BAD_MASKS[kind]
    picture = picture_of(8, 8, batch=2)
    with pytest.raises(ValueError, match=message):
        encode(picture, vae, mask=mask)
    with pytest.raises(ValueError, match=message):
        restore(picture, fit_keep_size(picture), mask)


def test_bad_settings_are_refused_with_a_reason(vae):
    picture = picture_of(8, 8)
    with pytest.raises(ValueError, match="vae: nothing arrived"):
        encode(picture, None)
    with pytest.raises(ValueError, match="needs 4 channels"):
        encode(picture, narrow_vae(z_channels=16))
    with pytest.raises(ValueError, match="fit: got 'stretch'"):
        encode(picture, vae, fit="stretch")
    with pytest.raises(ValueError, match="resolution must be at least 64, got 8"):
        encode(picture, vae, resolution=8)
    with pytest.raises(ValueError, match="feather: must be 0 or more pixels, got -1"):
        restore(picture, fit_keep_size(picture), feather=-1)
    with pytest.raises(ValueError, match="match_color: got 'lab'"):
        restore(picture, fit_keep_size(picture), match_color="lab")
    with pytest.raises(ValueError, match="scene: got 'nothing'"):
        IP2PSampleImage.execute("nothing", 0)


def spot(width, height, left, top, right, bottom):
    mask = torch.zeros(1, height, width)
    mask[:, top:bottom, left:right] = 1
    return mask


def test_around_a_mask_the_model_sees_its_surroundings_large(vae):
    picture = picture_of(300, 200)
    mask = spot(300, 200, 210, 60, 230, 90)
    source, frame = encode(picture, vae, "around mask", 64, mask, margin=10)
    crop, own = picture[:, 50:100, 195:245], mask[:, 50:100, 195:245]
    expected, alone = encode(crop, vae, "training size", 64, own)
    assert torch.equal(source["samples"], expected["samples"])
    assert torch.equal(source["noise_mask"], expected["noise_mask"])
    assert (frame.working_width, frame.working_height) == (64, 64) and frame.original is picture
    # An edit comes back to its place, and what was not shown is the original to the bit.
    edit = picture_of(64, 64, seed=1)
    for own_mask in (None, mask):
        inside = None if own_mask is None else own
        restored = restore(edit, frame, own_mask, 3, "mean-std")
        assert torch.equal(
            restored[:, 50:100, 195:245], restore(edit, alone, inside, 3, "mean-std")
        )
        assert torch.equal(restored[mask == 0], picture[mask == 0])


def test_a_mask_of_another_size_is_stretched_before_it_is_fitted_around(vae):
    picture = picture_of(160, 80)
    big = spot(160, 80, 40, 20, 80, 40)
    small = spot(80, 40, 20, 10, 40, 20)
    same, frame = encode(picture, vae, "around mask", 64, big, margin=30)
    from_small, other = encode(picture, vae, "around mask", 64, small, margin=29)
    assert frame.box == other.box and torch.equal(same["samples"], from_small["samples"])


def test_prompts_saved_before_there_was_a_margin_run(vae):
    prompt = {"image": picture_of(300, 200), "vae": vae, "fit": "around mask", "resolution": 64}
    _, frame = IP2PEncodeSource.execute(**prompt, mask=spot(300, 200, 140, 90, 160, 110)).result
    assert frame.box == (76, 26, 224, 174)


@pytest.mark.parametrize(
    "mask, message",
    [
        (None, "mask: nothing arrived, and fit is 'around mask'"),
        (torch.zeros(1, 64, 64), "mask: it is all black, so there is nothing to fit around"),
        (spot(100, 50, 7, 7, 8, 8), "mask: it is white in 1 x 1 pixels at most"),
    ],
)
def test_masks_that_nothing_can_be_fitted_around_are_refused(vae, mask, message):
    with pytest.raises(ValueError, match=message):
        encode(picture_of(100, 50), vae, "around mask", 64, mask)
    with pytest.raises(ValueError, match="margin: must be 0 or more pixels, got -1"):
        encode(picture_of(100, 50), vae, "around mask", 64, torch.ones(1, 50, 100), margin=-1)


def test_extreme_values_of_a_mask_are_limited(vae):
    picture = picture_of(16, 16)
    frame = fit_keep_size(picture)
    edit = picture_of(16, 16, seed=1)
    assert torch.equal(restore(edit, frame, torch.full((1, 16, 16), 7.0)), edit)
    assert torch.equal(restore(edit, frame, torch.full((1, 16, 16), -7.0)), picture)


@pytest.mark.parametrize("scene", SAMPLES)
def test_sample_image_is_a_picture_and_its_mask(scene):
    image, mask = IP2PSampleImage.execute(scene, 0).result
    assert image.shape == (1, 512, 512, 3) and image.dtype == torch.float32
    assert 0 <= image.min() and image.max() <= 1 and image.std() > 0.05
    assert mask.shape == (1, 512, 512) and set(mask.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("scene", ["portrait - suit", "landscape - sunny house", "object - cat"])
def test_a_seed_draws_the_same_sample_again_and_another_another(scene):
    seeds = (0, 0, 2**64 - 1)
    image, again, other = (IP2PSampleImage.execute(scene, seed).result[0] for seed in seeds)
    assert torch.equal(image, again) and not torch.equal(image, other)


def noisy(width, height, channels):
    levels = np.random.default_rng(0).integers(0, 256, (height, width, channels))
    return levels.astype(np.uint8).squeeze()


def save_rotated_jpeg(path):
    """A portrait photo as phones save it: landscape pixels and a note to turn them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noisy(90, 60, 3)).save(path, exif=exif)


FILES = {
    "rotated.jpg": save_rotated_jpeg,
    "sixteen.png": lambda path: Image.fromarray(
        np.arange(60 * 90, dtype=np.uint16).reshape(90, 60) * 12
    ).save(path),
    "alpha.png": lambda path: Image.fromarray(noisy(60, 90, 4)).save(path),
    "grey.png": lambda path: Image.fromarray(noisy(60, 90, 1)).save(path),
    "palette.png": lambda path: Image.fromarray(noisy(60, 90, 3)).quantize(16).save(path),
}


@pytest.mark.parametrize("name", FILES)
def test_files_go_through_cores_load_image_and_come_back(vae, name, tmp_path, monkeypatch):
    """LoadImage -> IP2PEncodeSource -> VAEDecode -> IP2PRestore, as in the editor."""
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    FILES[name](tmp_path / name)
    image, mask = core_nodes.LoadImage().load_image(name)
    assert image.shape[:3] == (1, 90, 60)
    for fit in ("training size", "keep size"):
        source, frame = encode(image, vae, fit, mask=mask)
        (decoded,) = core_nodes.VAEDecode().decode(vae, source)
        assert decoded.shape[1:3] == (frame.working_height, frame.working_width)
        assert restore(decoded, frame).shape == (1, 90, 60, 3)
        kept = restore(decoded, frame, torch.zeros(1, 64, 64), 3, "mean-std")
        assert torch.equal(kept, image)
