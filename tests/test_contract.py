"""Saved workflows hold on to the nodes' ids, inputs and outputs: none may change unseen."""

import json
import re

from instruct_pix2pix.tests.texts import CONTRACT, contract, schemas


def test_ids_inputs_and_outputs_are_those_of_the_contract() -> None:
    assert contract() == json.loads(CONTRACT.read_text(encoding="utf-8")), (
        "other people's workflows hold these: append inputs, never move or rename them. "
        "If the change is meant, run make texts."
    )


def test_every_slot_has_an_id_of_the_house_and_a_tooltip() -> None:
    for node_id, schema in schemas().items():
        assert re.fullmatch(r"IP2P[A-Z]\w+", node_id) and schema.category == "InstructPix2Pix"
        assert schema.description, node_id
        for slot in (*schema.inputs, *schema.outputs):
            assert slot.tooltip, f"{node_id}: {slot} has no tooltip"
        for slot in schema.inputs:
            assert re.fullmatch(r"[a-z0-9_]+", slot.id), f"{node_id}.{slot.id}"
