"""What follows from the schemas of the nodes and from the tables of `edits/`.

    make texts    write all of it anew after a schema or a table has changed; tests compare

The tables of settings and presets stand in the docs between two marks.

`locales/en/nodeDefs.json` is what the editor shows. `tests/contract.json` is what saved workflows
hold on to: ids, inputs and outputs, their order, types, ranges and defaults.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

from instruct_pix2pix.edits import presets, settings

ROOT = Path(__file__).parents[1]
ENGLISH = ROOT / "locales" / "en" / "nodeDefs.json"
CONTRACT = Path(__file__).with_name("contract.json")
# Files of the user, and names that core translates itself or shows as they are.
NOT_OURS = {"checkpoint", "lora_name", "sampler_name", "scheduler"}
TABLES = {"settings": settings.table, "presets": presets.listed}
HELP = ROOT / "nodes" / "web" / "docs"
PAGES = [ROOT / "docs" / "headless.md", HELP / "IP2PPreset.md", HELP / "IP2PPreset" / "zh.md"]
HELD = ("default", "min", "max", "step", "options")


@functools.cache
def schemas() -> dict[str, Any]:
    """The schema of each node by its id, in the order in which ComfyUI is told of them."""
    spec = importlib.util.spec_from_file_location(
        "instruct_pix2pix", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)

    async def listed() -> list[Any]:
        return await (await entry.comfy_entrypoint()).get_node_list()

    return {schema.node_id: schema for schema in (n.define_schema() for n in asyncio.run(listed()))}


def texts_of(slot: Any) -> dict[str, Any]:
    texts: dict[str, Any] = {"name": slot.display_name or slot.id, "tooltip": slot.tooltip}
    if slot.get_io_type() == "COMBO" and hasattr(slot, "options") and slot.id not in NOT_OURS:
        texts["options"] = {option: option for option in slot.options}
    return texts


@functools.cache
def english() -> dict[str, Any]:
    """The texts of all nodes in the form of nodeDefs.json."""
    return {
        node_id: {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {slot.id: texts_of(slot) for slot in schema.inputs},
            "outputs": {str(i): texts_of(slot) for i, slot in enumerate(schema.outputs)},
        }
        for node_id, schema in schemas().items()
    }


def input_of(slot: Any) -> dict[str, Any]:
    """What a saved workflow holds on to, of one input."""
    held = {name: value for name, value in slot.as_dict().items() if name in HELD}
    if slot.id in NOT_OURS:
        held.pop("options", None)
    return {"id": slot.id, "type": slot.get_io_type(), "optional": slot.optional, **held}


def contract() -> dict[str, Any]:
    """Ids, inputs and outputs of all nodes, without their texts."""
    return {
        node_id: {
            "category": schema.category,
            "inputs": [input_of(slot) for slot in schema.inputs],
            "outputs": [[slot.display_name, slot.get_io_type()] for slot in schema.outputs],
        }
        for node_id, schema in sorted(schemas().items())
    }


def with_tables(page: str) -> str:
    """A page of the docs with its tables as the code has them."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if begin in page:
            before, rest = page.split(begin)
            page = before + begin + table() + end + rest.split(end)[1]
    return page


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    ENGLISH.write_text(as_json(english()), encoding="utf-8")
    CONTRACT.write_text(as_json(contract()), encoding="utf-8")
    for page in PAGES:
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    # Without a GPU ComfyUI must be told so before it looks for one.
    import torch
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    main()
