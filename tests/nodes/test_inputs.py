"""Inputs that several nodes share."""

from dataclasses import dataclass

from comfy_api.latest import io
from instruct_pix2pix.nodes.chain import IP2PEditChain
from instruct_pix2pix.nodes.inputs import ADVANCED, ESSENTIALS, WORDS, newer, setting_input
from instruct_pix2pix.nodes.loading import IP2PLoadCheckpoint
from instruct_pix2pix.nodes.presets import IP2PPreset
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction


@dataclass
class OldSchema:
    node_id: str


@dataclass
class NewSchema:
    node_id: str
    search_aliases: list[str] | None = None


def test_a_field_is_given_where_it_is_taken_and_nowhere_else():
    assert newer(OldSchema, search_aliases=WORDS) == {}
    assert newer(NewSchema, search_aliases=WORDS, other=1) == {"search_aliases": WORDS}


def test_this_comfyui_gets_what_it_takes():
    for node in (IP2PLoadCheckpoint, IP2PKSampler):
        schema = node.define_schema()
        assert getattr(schema, "search_aliases", WORDS) == WORDS
        assert getattr(schema, "essentials_category", ESSENTIALS) == ESSENTIALS
    for name in ADVANCED:
        made = setting_input(name, options=["auto"] if name == "weights" else None)
        assert getattr(made, "advanced", True) is True


def test_braces_in_an_instruction_are_one_of_their_words_as_in_cores_boxes():
    boxes = {
        (node.__name__, slot.id): slot.as_dict().get("dynamicPrompts")
        for node in (IP2PEncodeInstruction, IP2PEditChain, IP2PPreset)
        for slot in node.define_schema().inputs
        if isinstance(slot, io.String.Input)
    }
    written = {
        ("IP2PEncodeInstruction", "instruction"),
        ("IP2PEncodeInstruction", "negative"),
        ("IP2PEditChain", "instructions"),
        ("IP2PPreset", "value"),
    }
    assert {box for box, expands in boxes.items() if expands} == written
