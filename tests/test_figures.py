"""A committed figure is of today: its program made it, with the weights and nodes of today."""

import ast
import re
from pathlib import Path

import pytest
from instruct_pix2pix.checkpoints.families import FAMILIES, Family
from instruct_pix2pix.mini import evaluate
from instruct_pix2pix.mini.recipe import Recipe
from instruct_pix2pix.tests.texts import schemas

ROOT = Path(__file__).parents[1]
BENCHMARKS, MINI = ROOT / "benchmarks", ROOT / "mini"
PROGRAMS = {
    **{path: path.with_suffix(".py") for path in sorted(BENCHMARKS.glob("*.md"))},
    **{
        MINI / f"{result}.md": MINI / f"{program}.py"
        for result, program in (
            ("evaluation", "evaluate"),
            ("pairing", "pairing"),
            ("tradeoff", "tradeoff"),
        )
    },
}
OF_WEIGHTS = [result for result in PROGRAMS if "named(" in PROGRAMS[result].read_text("utf-8")]
OF_NOISE = [result for result in OF_WEIGHTS if "NUMERICS" in PROGRAMS[result].read_text("utf-8")]
NAMED = {f"SUITED[{index}]": scale for index, scale in enumerate(evaluate.SUITED)}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def defaults(program: Path) -> dict[str, str]:
    """The options of a program with their default values, read from its source.

    They are the parameters of its `main`, or the arguments of its ArgumentParser.
    """
    found = {}
    for node in ast.walk(ast.parse(program.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            arguments = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            for argument, default in zip(arguments, node.args.defaults, strict=True):
                declared = re.search(r"'(--[\w-]+)'", ast.unparse(argument.annotation))
                name = declared[1] if declared else "--" + argument.arg.replace("_", "-")
                found[name] = ast.unparse(default)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_argument"):
            for keyword in node.keywords:
                if keyword.arg == "default":
                    found[ast.literal_eval(node.args[0])] = ast.unparse(keyword.value)
    return found


def test_the_options_of_a_program_are_read() -> None:
    assert defaults(BENCHMARKS / "guidance.py")["--chains"] == "3"
    assert defaults(MINI / "tradeoff.py")["--count"] == "1"


@pytest.mark.parametrize("result", PROGRAMS, ids=lambda path: path.stem)
def test_a_result_was_made_by_its_programs_own_default_command(result: Path) -> None:
    program = PROGRAMS[result]
    name = re.escape(program.stem)
    called = rf"`python (?:benchmarks/{name}\.py|-m instruct_pix2pix\.mini\.{name})([^`]*)`"
    command = re.search(called, result.read_text(encoding="utf-8"))
    assert command, f"{result.name} does not say which command made it"
    known = defaults(program)
    for option, value in re.findall(r"(--[\w-]+)(?: ([^-\s]\S*))?", command[1]):
        assert option in known, f"{program.name} has no {option}"
        default = NAMED.get(known[option]) or ast.literal_eval(known[option])
        assert type(default)(value) == default, f"{option} is {default} by default"


@pytest.mark.parametrize("result", OF_WEIGHTS, ids=lambda path: path.stem)
def test_a_result_of_the_built_in_model_is_of_todays_weights(result: Path) -> None:
    text = result.read_text(encoding="utf-8")
    assert evaluate.named(evaluate.BUILT_IN) in text, f"measure {result.name} anew"


@pytest.mark.parametrize("result", OF_NOISE, ids=lambda path: path.stem)
def test_a_result_is_of_noise_that_is_the_same_on_every_comfyui(result: Path) -> None:
    text = result.read_text(encoding="utf-8")
    assert f"numerics {evaluate.NUMERICS}" in text, f"measure {result.name} anew"


def test_the_start_up_was_measured_with_todays_nodes() -> None:
    text = (BENCHMARKS / "startup.md").read_text(encoding="utf-8")
    count = re.search(r"(\d+) nodes", text)
    assert count and int(count[1]) == len(schemas())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_figure_in_a_link_stands_in_the_result_that_the_link_leads_to(page: Path) -> None:
    for label, target in re.findall(r"\[([^\]]*)\]\(([^)]+\.md)\)", page.read_text("utf-8")):
        for figure in re.findall(r"\d[\d,.]*\d|\d", label):
            result = (page.parent / target).read_text(encoding="utf-8").replace(",", "")
            assert figure.replace(",", "") in result, f"{page.name}: {label}: {figure}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
def test_the_table_of_editors_has_the_scales_and_the_size_of_the_family(family: Family) -> None:
    """The built-in model has the size of its recipe."""
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()]
    of_family = [row for row in rows if len(row) == 6 and row[1].startswith(family.title)]
    assert of_family
    for name, *_, scales, size in of_family:
        assert scales == f"{family.text_cfg:g} / {family.image_cfg:g}", name
        side = Recipe().resolution if name == "ip2p-mini" else family.resolution
        assert str(side) in size, name
