"""The house rules on what each folder may import and do, read from every shipped file.

They keep the maths free of ComfyUI, the command line free of torch, and the server free of code
that runs at import, reaches into its internals, executes pickles or opens connections.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[1]
PACK = "instruct_pix2pix"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
INSTALLED = tuple(
    {"pillow": "PIL"}.get(name, name.replace("-", "_"))
    for name in (re.split(r"[^\w-]", requirement)[0] for requirement in REQUIREMENTS)
)
DRAWING = tuple(
    f"mini.{name}"
    for name in (
        *("backdrops", "drawing", "garments", "hair", "heads", "instructions", "landscapes"),
        *("materials", "media", "objects", "portraits", "scenes", "skies"),
    )
)

WRITING = ("pairs.captions", "pairs.clip_tokens", "pairs.rules", "pairs.triples")

PAIRS = ("pairs.pair", "pairs.table")  # without torch as well

PICKLES = {"cPickle", "cloudpickle", "dill", "marshal", "pickle", "shelve"}
CONNECTIONS = {"ftplib", "http", "multiprocessing", "socket", "subprocess", "urllib"}


@dataclass(frozen=True)
class Rule:
    """What the files that match `files` may import besides the standard library.

    A name allows a module and all that is in it; `ours` are modules of the pack, from its root.
    """

    files: str
    modules: tuple[str, ...]
    ours: tuple[str, ...]
    forbidden: frozenset[str] = frozenset(PICKLES | CONNECTIONS)


RULES = (  # the first that matches counts
    Rule("__init__.py", ("comfy_api.latest",), ("nodes",)),
    Rule(
        "samplers/comfy/*",
        ("torch", "PIL", "comfy", "latent_preview", "node_helpers"),
        ("samplers",),
    ),
    Rule("samplers/*", ("torch",), ("samplers",)),
    Rule("edits/*", (), ("edits",)),
    # The command line draws sheets, and must install where there is no torch.
    Rule("pictures/sheet.py", ("PIL",), ()),
    Rule("pictures/*", ("torch", "numpy", "PIL"), ("pictures",)),
    # What a header tells, for the command line as well: no torch. Pickles are read, never run.
    Rule("checkpoints/pickles.py", ("pickle._Unpickler",), ()),
    Rule("checkpoints/outline.py", (), ("checkpoints.pickles",)),
    Rule("checkpoints/places.py", (), ()),
    Rule("checkpoints/signs.py", (), ("checkpoints.families", "checkpoints.outline")),
    Rule("checkpoints/families/*", (), ("checkpoints.families",)),
    Rule(
        "checkpoints/*",
        ("torch", "comfy", "safetensors", "pickle.UnpicklingError"),  # what torch.load raises
        ("checkpoints",),
    ),
    # Triples are written where there is no torch.
    *(
        Rule(f"pairs/{name}.py", ("aiohttp",) if name == "captions" else (), WRITING)
        for name in ("captions", "clip_tokens", "rules", "triples")
    ),
    Rule("pairs/pair.py", ("PIL",), ()),
    Rule("pairs/table.py", ("pyarrow",), ("pairs.pair",)),
    Rule(
        "pairs/serve_model.py",
        ("torch", "aiohttp", "transformers"),
        (),
    ),
    # On ComfyUI's own modules; pyarrow reads tables where it is installed.
    Rule(
        "pairs/*",
        ("torch", "numpy", "PIL", "comfy", "pyarrow", "safetensors"),
        ("pairs", "metrics", "samplers", "pictures", "checkpoints"),
    ),
    Rule(
        "training/*",
        (
            "torch",
            "numpy",
            "PIL",
            "comfy",
            "node_helpers",
            "safetensors",
            "accelerate",
            "bitsandbytes",
        ),
        ("training", "pairs", "metrics", "checkpoints", "samplers", "pictures"),
    ),
    Rule(
        "metrics/*",
        ("torch", "numpy", "PIL", "safetensors", "transformers", "matplotlib"),
        ("metrics", "pictures"),
    ),
    Rule(
        "nodes/*",
        ("torch", "numpy", "PIL", "comfy", "comfy_api.latest")
        + ("folder_paths", "latent_preview", "node_helpers"),
        ("nodes", "edits", "samplers", "pictures", "checkpoints", "pairs", "training", "metrics")
        + DRAWING,
    ),
    *(
        Rule(f"{name.replace('.', '/')}.py", ("numpy", "PIL"), ("mini.applications", *DRAWING))
        for name in DRAWING
    ),
    Rule("mini/applications/*", ("numpy",), ("mini.applications", *DRAWING)),
    Rule("mini/__init__.py", (), ()),
    # On ComfyUI's modules and the pack's own converters.
    Rule(
        "mini/export.py",
        ("torch", "safetensors", "comfy.diffusers_convert"),
        ("mini", "checkpoints"),
    ),
    *(
        Rule(
            f"mini/{name}.py",
            ("torch", "numpy", "PIL", "matplotlib", "comfy.cli_args"),
            ("mini", "checkpoints", "edits", "metrics", "pictures", "samplers"),
        )
        for name in ("editing", "evaluate", "stranger", "tradeoff")
    ),
    Rule(
        "mini/pairing.py",
        ("torch", "numpy", "PIL", "matplotlib", "safetensors", "comfy.cli_args"),
        ("mini", "checkpoints", "pairs"),
    ),
    # Trained by the pack's own trainer.
    Rule(
        "mini/distill.py",
        ("torch", "numpy", "PIL", "comfy.cli_args"),
        ("mini", "pairs", "training"),
    ),
    Rule(
        "mini/language.py",
        ("torch", "numpy", "tokenizers", "transformers"),
        ("mini", "pairs.captions", "pairs.triples"),
    ),
    # Its stages are commands of `ip2p`.
    Rule(
        "mini/paper.py",
        ("torch", "numpy", "PIL", "safetensors", "comfy.cli_args"),
        ("mini", "edits", "pairs"),
        frozenset(PICKLES),
    ),
    Rule("mini/paper_report.py", ("numpy", "PIL"), ("mini", "pairs")),
    Rule(
        "mini/*",
        ("torch", "numpy", "PIL", "safetensors", "accelerate", "diffusers", "matplotlib")
        + ("transformers",),
        ("mini",),
        frozenset(PICKLES),
    ),
    Rule(
        "headless/*",
        INSTALLED,
        ("headless", "edits", "checkpoints.places", "checkpoints.signs", *WRITING, *PAIRS)
        + ("pictures.sheet",),
        frozenset(PICKLES),
    ),
)


def imports(tree: ast.Module, path: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the line, the full name and whether it is ours, of every module that is imported.

    `from a import b` counts as `a.b`, since `b` may be a module.
    """
    package = path.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) + 1 - node.level] if node.level else []
            module = [*parent, *(node.module or "").split(".")]
            for alias in node.names:
                name = ".".join([*filter(None, module), alias.name])
                yield node.lineno, name, node.level > 0


def within(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in allowed)


def import_faults(tree: ast.Module, path: str, rule: Rule) -> Iterator[tuple[int, str]]:
    for line, name, relative in imports(tree, path):
        top = name.split(".")[0]
        if top == PACK:
            yield line, f"imports {name}: imports inside the pack are relative"
        elif relative:
            if not within(name, rule.ours):
                yield line, f"imports our {name}: {rule.files} may import {rule.ours} of ours"
            pure = path.startswith("samplers/") and not path.startswith("samplers/comfy/")
            if pure and name.startswith("samplers.comfy"):
                yield line, "imports the guider: the maths beside it must not need ComfyUI"
        elif within(name, rule.modules):
            pass
        elif top in rule.forbidden or top not in sys.stdlib_module_names:
            yield line, f"imports {name}: {rule.files} may import {rule.modules}"


def is_main_block(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def import_time_faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Find what runs, or is kept, because a module is imported."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case ast.Assign(value=value) | ast.AnnAssign(value=value):
                if isinstance(value, ast.Call) and ast.unparse(value.func).startswith("torch."):
                    yield node.lineno, "keeps a tensor in the module"
            case _ if not isinstance(node, definitions) and not is_main_block(node):
                yield node.lineno, f"runs at import: {ast.unparse(node).splitlines()[0]}"


def call_faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Find calls that execute what they are given, and loads that may."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        safe = {ast.unparse(keyword) for keyword in node.keywords}
        if name in {"eval", "exec", "__import__", "os.system"}:
            yield node.lineno, f"calls {name}"
        elif name == "torch.load" and "weights_only=True" not in safe:
            yield node.lineno, "calls torch.load without weights_only=True"
        elif name.endswith("load_torch_file") and "safe_load=True" not in safe:
            yield node.lineno, "calls load_torch_file without safe_load=True"


def path_faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Find uses of sys.path, except by a program (its main block) in a process of its own."""
    for node in tree.body:
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and ast.unparse(part) == "sys.path":
                if not is_main_block(node):
                    yield part.lineno, "touches sys.path"


def faults(path: str, source: str) -> list[str]:
    """Check the source of the file at `path`, given from the root of the pack with slashes."""
    rule = next(rule for rule in RULES if fnmatch(path, rule.files))
    tree = ast.parse(source)
    found = [
        *import_faults(tree, path, rule),
        *import_time_faults(tree),
        *call_faults(tree),
        *path_faults(tree),
    ]
    return [f"{path}:{line}: {fault}" for line, fault in sorted(set(found))]


FOLDERS = {
    *("checkpoints", "edits", "headless", "metrics", "mini", "nodes", "pairs", "pictures"),
    *("samplers", "training"),
}
SHIPPED = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", ["__init__.py", *SHIPPED])
def test_file_keeps_the_house_rules(path: str) -> None:
    source = (ROOT / path).read_bytes()
    assert source.isascii(), f"{path} is not ASCII"
    assert faults(path, source.decode()) == []


def test_every_package_has_files() -> None:
    assert {path.split("/")[0] for path in SHIPPED} == FOLDERS


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("samplers/guidance.py", "import numpy", "imports numpy"),
        ("samplers/guidance.py", "import comfy.samplers", "imports comfy.samplers"),
        ("samplers/guidance.py", "def f():\n    from comfy import utils", "imports comfy.utils"),
        ("samplers/guidance.py", "from .comfy import guider", "imports the guider"),
        ("samplers/guidance.py", "from ..nodes import text", "imports our nodes.text"),
        ("samplers/comfy/guider.py", "import comfy_extras.nodes_ip2p", "imports comfy_extras"),
        ("samplers/guidance.py", "import instruct_pix2pix.nodes", "are relative"),
        ("checkpoints/formats.py", "import folder_paths", "imports folder_paths"),
        ("checkpoints/formats.py", "import pickle", "imports pickle"),
        ("checkpoints/formats.py", "from pickle import loads", "imports pickle.loads"),
        ("nodes/text.py", "from nodes import CLIPTextEncode", "imports nodes.CLIPTextEncode"),
        ("nodes/text.py", "from server import PromptServer", "imports server"),
        ("nodes/text.py", "from comfy_api.v0_0_2 import io", "imports comfy_api.v0_0_2"),
        ("nodes/text.py", "from ..headless import cli", "imports our headless.cli"),
        ("nodes/text.py", "from ..mini import train", "imports our mini.train"),
        ("nodes/text.py", "import urllib.request", "imports urllib.request"),
        ("nodes/text.py", "import subprocess", "imports subprocess"),
        ("mini/scenes.py", "import torch", "imports torch"),
        ("mini/scenes.py", "from .training import Run", "imports our mini.training"),
        ("mini/train.py", "import comfy", "imports comfy"),
        ("headless/cli.py", "import torch", "imports torch"),
        ("headless/cli.py", "from ..mini import scenes", "imports our mini.scenes"),
        ("headless/cli.py", "from ..pictures import frame", "imports our pictures.frame"),
        ("pictures/sheet.py", "import torch", "imports torch"),
        ("headless/cli.py", "import sys\nsys.path.append('.')", "touches sys.path"),
        ("headless/cli.py", "import sys\ndef f():\n    sys.path[0] = '.'", "touches sys.path"),
        ("nodes/text.py", "print('hello')", "runs at import"),
        ("nodes/text.py", "try:\n    import torch\nfinally:\n    pass", "runs at import"),
        ("nodes/text.py", "import torch\nZEROS = torch.zeros(8)", "keeps a tensor"),
        ("nodes/text.py", "def f(x):\n    return eval(x)", "calls eval"),
        ("nodes/text.py", "def f(x):\n    exec(x)", "calls exec"),
        ("mini/train.py", "import torch\ndef f(p):\n    torch.load(p)", "calls torch.load"),
        (
            "checkpoints/formats.py",
            "import torch\ndef f(p):\n    torch.load(p, weights_only=False)",
            "calls torch.load",
        ),
        (
            "checkpoints/formats.py",
            "import comfy.utils\ndef f(p):\n    comfy.utils.load_torch_file(p)",
            "calls load_torch_file",
        ),
    ],
)
def test_checker_finds_a_fault(path: str, source: str, fault: str) -> None:
    assert any(fault in found for found in faults(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__init__.py", "async def entry():\n    from .nodes import IP2PExtension"),
        ("samplers/comfy/guider.py", "import comfy.samplers\nfrom ..guidance import Scale"),
        ("checkpoints/formats.py", "import torch\ndef f(p):\n    torch.load(p, weights_only=True)"),
        ("checkpoints/files.py", "from pickle import UnpicklingError"),
        ("nodes/text.py", "'''Text.'''\nfrom comfy_api.latest import io\nLIMIT: int = 77"),
        ("nodes/pictures.py", "from ..mini import scenes\nfrom ..mini.scenes import render"),
        ("headless/watchdog.py", "import sys\nif __name__ == '__main__':\n    sys.path[0] = '.'"),
    ],
)
def test_checker_allows_what_is_allowed(path: str, source: str) -> None:
    assert faults(path, source) == []
