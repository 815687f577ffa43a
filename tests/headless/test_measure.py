"""`ip2p measure` in ComfyUI's own Python, as people start it."""

import json

from PIL import Image

from .command import finished, in_process, ip2p


def test_measure_writes_the_tables_and_names_the_page(tmp_path) -> None:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    Image.new("RGB", (32, 32), "lime").save(tmp_path / "b.png")
    (tmp_path / "t.csv").write_text("result,source\na.png,b.png\n")
    out = tmp_path / "out"
    code, told = finished(ip2p("measure", str(tmp_path / "t.csv"), "-o", str(out)))
    assert code == 0, told
    assert str(out / "index.html") in told
    (summary,) = json.loads((out / "summary.json").read_text())
    assert abs(summary["means"]["L1 to source"] - 2 / 3) < 1e-6


def test_a_wrong_table_is_wrong_input(tmp_path) -> None:
    code, told = finished(ip2p("measure", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out")))
    assert code == 3
    assert "none.csv cannot be read (No such file or directory)" in told
    assert not (tmp_path / "out").exists()


def test_results_are_of_one_set(tmp_path) -> None:
    code, told = in_process("measure", str(tmp_path), "--emu", "x", "--pie", "y")
    assert code == 3
    assert "--emu and --pie" in told
