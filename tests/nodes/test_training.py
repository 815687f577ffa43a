"""The training nodes in a graph: what they hand on, and an interrupt that loses nothing."""

import json

import comfy.model_management
import folder_paths
import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.nodes.training import EXAMPLE, IP2PLoadPairs, IP2PTrain
from instruct_pix2pix.pairs.layouts import read_pairs
from instruct_pix2pix.pairs.pair import PairsError, inside
from instruct_pix2pix.training.base import BUILT_IN
from instruct_pix2pix.training.cache import Texts
from instruct_pix2pix.training.network import trainable
from instruct_pix2pix.training.run import Run
from instruct_pix2pix.training.settings import RunError

from ..checkpoints.factory import TEXT_WIDTH, tiny_checkpoint
from ..pairs.layouts import made, write
from ..training.conftest import random

CPU = torch.device("cpu")


@pytest.fixture
def output(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    (tmp_path / "input").mkdir()
    return tmp_path / "output"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("tiny")))


def train(tiny, pairs, **changes):
    options = dict(kind="lora", rank=4, steps=4, batch_size=2, learning_rate=1e-2, dropout=0.05)
    options |= dict(resolution=64, sample_every=4, seed=0, run="test", keep=0.0)
    return IP2PTrain.execute(tiny.model, tiny.clip, tiny.vae, pairs, **options | changes).args


def predicted(model):
    x, times = random(1, 8, 8, 8, seed=1), torch.tensor([500])
    with torch.no_grad():
        return trainable(model, CPU)(x, times, random(1, 77, TEXT_WIDTH, seed=2), None)


def test_the_bundled_pairs_are_sound_and_in_the_models_words(output):
    pairs, report, sheet = IP2PLoadPairs.execute(EXAMPLE, 0).args
    assert report.startswith("20 pairs can be used, 0 cannot.")
    assert sheet.shape[0] == 1 and sheet.shape[3] == 3 and sheet.max() <= 1
    texts = Texts(load_checkpoint(BUILT_IN).clip)
    unknown = texts.clip.tokenizer.clip_l.unknown_words
    assert not [word for pair in pairs for text in pair.instructions for word in unknown(text)]


def test_pairs_of_the_input_folder_and_no_others_are_read(output, tmp_path):
    write("two folders", tmp_path / "input" / "mine", made())
    pairs, report, _ = IP2PLoadPairs.execute("mine", 3).args
    assert len(pairs) == 3 and report.startswith("3 pairs can be used")
    for place in (str(tmp_path), "../input/mine", " "):
        with pytest.raises(PairsError, match="into ComfyUI's input folder"):
            IP2PLoadPairs.execute(place, 0)


def test_a_set_that_names_pictures_elsewhere_does_not_lead_out_of_the_input_folder(
    output, tmp_path
):
    """Where a prompt comes from anywhere, its table must not show the server's other pictures."""
    folder = write("two folders", tmp_path / "input" / "mine", made())
    secret = write("two folders", tmp_path / "private", made()) / "before"
    picture = next(secret.iterdir())
    outside = [str(picture), f"../../private/before/{picture.name}"]
    rows = [
        {"source": path, "target": f"after/{picture.stem}.jpg", "instruction": "make it red"}
        for path in (f"before/{picture.name}", *outside)
    ]
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs, report, _ = IP2PLoadPairs.execute("mine", 0).args
    assert len(pairs) == 1 and report.count("is not below") == 2
    assert len(read_pairs(folder)) == 3 and all(one.source.read() for one in read_pairs(folder))
    (tmp_path / "input" / "official").mkdir()
    (tmp_path / "input" / "official" / "seeds.json").write_text('[["../../private", ["0"]]]')
    with pytest.raises(PairsError, match="seeds.json names .* not below"):
        IP2PLoadPairs.execute("official", 0)
    (tmp_path / "input" / "linked").symlink_to(secret.parent)
    assert len(IP2PLoadPairs.execute("linked", 0).args[0]) == len(made())
    # A table's ".." takes back a name, and does not leave the folder that a link leads to.
    (folder / "away").symlink_to(secret.parent)
    above = folder / "away" / ".." / "above.png"
    assert inside(above, folder, "the table") == folder / "above.png"


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_model_and_lora_hold_what_was_learnt(kind, tiny, output):
    """The MODEL, and core's LoraModelLoader with the LORA_MODEL, predict alike."""
    from comfy_extras.nodes_train import LoraModelLoader

    with torch.inference_mode():  # as ComfyUI runs nodes
        model, lora, loss, samples = train(tiny, made(), kind=kind)
        by_core = LoraModelLoader.execute(tiny.model, lora, 1.0).args[0]
    assert len(loss["loss"]) == 4 and all(isinstance(value, float) for value in loss["loss"])
    assert samples.shape[0] == 1 and samples.shape[3] == 3
    learnt = predicted(model)
    assert float((learnt - predicted(tiny.model)).abs().max()) > 1e-3
    torch.testing.assert_close(predicted(by_core), learnt, rtol=0, atol=1e-5)


def test_an_interrupted_node_goes_on_to_the_same_result(tiny, output, monkeypatch):
    whole, *_ = train(tiny, made(), run="whole")
    tell, told = Run._tell, []

    def interrupted(self, *arguments):
        told.append(self.step)
        if self.step == 3:
            comfy.model_management.interrupt_current_processing()
        tell(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "_tell", interrupted)
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            train(tiny, made(), run="halves")
    assert told == [1, 2, 3]
    (folder,) = (output / "training").glob("halves-*")
    assert [path.name for path in (folder / "state").iterdir()] == ["step-00000003.safetensors"]
    halves, *_ = train(tiny, made(), run="halves")
    assert torch.equal(predicted(halves), predicted(whole))


def test_queued_again_nothing_is_trained_and_all_is_there(tiny, output, monkeypatch):
    first = train(tiny, made())
    monkeypatch.setattr(Run, "_update", lambda self: pytest.fail("trained again"))
    again = train(tiny, made())
    assert torch.equal(predicted(first[0]), predicted(again[0]))
    assert first[2] == again[2] and torch.equal(first[3], again[3])


def test_other_settings_make_another_run(tiny, output):
    train(tiny, made(), steps=1)
    train(tiny, made(), steps=1, rank=2)
    assert len(list((output / "training").iterdir())) == 2


def test_a_run_has_a_name_of_its_own(tiny, output):
    for name in ("", "../elsewhere", "/tmp/x"):
        with pytest.raises(RunError, match="a name of letters"):
            train(tiny, made(), run=name)
