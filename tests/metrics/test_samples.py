"""Every layout of results is read as its authors' programs read it."""

import json
from pathlib import Path

import pytest
from instruct_pix2pix.metrics.samples import read_emu, read_magicbrush, read_pie, read_table
from PIL import Image


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16)).save(path)
    return path


def test_a_batch_is_read_from_its_folder_without_its_failed_rows(tmp_path) -> None:
    (tmp_path / "results.csv").write_text(
        "row,image,instruction,mask,output,state\n"
        "1,/pictures/a.png,'=1+1,,a.png,done\n"
        "2,/pictures/b.png,make it snow,,b.png,failed\n"
    )
    (sample,) = read_table(tmp_path)
    assert sample.source == Path("/pictures/a.png")
    assert sample.result == tmp_path / "a.png"
    assert sample.instruction == "=1+1"
    assert sample.mask is None


def test_a_jsonl_of_ones_own_names_its_columns_freely(tmp_path) -> None:
    table = tmp_path / "mine.jsonl"
    row = {"generated": "r.png", "input_image": "s.png", "target": "t.png", "task": "style"}
    row |= {"input_caption": "a hill", "output_caption": "a hill in snow", "idx": 7}
    table.write_text(json.dumps(row) + "\n\n")
    (sample,) = read_table(table)
    assert (sample.result, sample.source) == (tmp_path / "r.png", tmp_path / "s.png")
    assert sample.truth == tmp_path / "t.png"
    assert (sample.group, sample.name) == ("style", "7")
    assert (sample.caption, sample.edited_caption) == ("a hill", "a hill in snow")


def magicbrush(folder: Path) -> tuple[Path, Path]:
    """Image 11 with three turns, image 22 with one."""
    results, truths = folder / "results", folder / "truths"
    for number, turns in (("11", 3), ("22", 1)):
        save(truths / number / f"{number}-input.png")
        save(results / number / f"{number}_1.png")
        for turn in range(1, turns + 1):
            save(truths / number / f"{number}-output{turn}.png")
            save(truths / number / f"{number}-mask{turn}.png")
            if turn > 1:
                save(results / number / f"{number}_inde_{turn}.png")
                save(results / number / f"{number}_iter_{turn}.png")
    captions = {"11": {"11-output2.png": "a cat"}, "22": {"22-output1.png": "a dog"}}
    (truths / "local_captions.json").write_text(json.dumps(captions))
    return results, truths


def test_magicbrush_compares_each_turn_and_the_final_one(tmp_path) -> None:
    samples = read_magicbrush(*magicbrush(tmp_path))
    found = [
        (s.group, s.result.name, s.truth.name, s.source and s.source.name, s.edited_caption)
        for s in samples
    ]
    assert found == [
        ("all turns", "11_1.png", "11-output1.png", "11-input.png", ""),
        ("all turns", "11_inde_2.png", "11-output2.png", "11-output1.png", "a cat"),
        ("all turns", "11_inde_3.png", "11-output3.png", "11-output2.png", ""),
        ("final turn", "11_iter_3.png", "11-output3.png", None, ""),
        ("all turns", "22_1.png", "22-output1.png", "22-input.png", "a dog"),
        ("final turn", "22_1.png", "22-output1.png", "22-input.png", "a dog"),
    ]
    assert samples[1].mask.name == "11-mask2.png"


def test_emu_edit_finds_results_by_number(tmp_path) -> None:
    save(tmp_path / "results" / "5.jpg")
    row = {"idx": 5, "image": "5.png", "instruction": "remove the boat", "task": "remove"}
    row |= {"input_caption": "a boat on a lake", "output_caption": "a lake", "split": "test"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row))
    (sample,) = read_emu(tmp_path / "results", tmp_path)
    assert sample.result == tmp_path / "results" / "5.jpg"
    assert sample.source == tmp_path / "5.png"
    assert (sample.group, sample.edited_caption) == ("remove", "a lake")


def test_pie_bench_has_masks_by_run_length_and_words_in_brackets(tmp_path) -> None:
    save(tmp_path / "results" / "1_change_object" / "a.png")
    mapping = {
        "000": {
            "image_path": "1_change_object/a.jpg",
            "original_prompt": "a [cat] on a wall",
            "editing_prompt": "a [dog] on a wall",
            "editing_instruction": "Make it a dog",
            "editing_type_id": "1",
            "mask": [0, 3],
        }
    }
    (tmp_path / "mapping_file.json").write_text(json.dumps(mapping))
    (sample,) = read_pie(tmp_path / "results", tmp_path)
    assert sample.result == tmp_path / "results" / "1_change_object" / "a.png"
    assert sample.source == tmp_path / "annotation_images" / "1_change_object" / "a.jpg"
    assert (sample.caption, sample.edited_caption) == ("a cat on a wall", "a dog on a wall")
    assert sample.mask == (0, 3)


def test_each_fault_of_a_layout_is_one_sentence(tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image\na.png\n")
    with pytest.raises(ValueError, match="t.csv, row 1: no result"):
        read_table(table)
    table.write_text("image,result\n")
    with pytest.raises(ValueError, match="no row"):
        read_table(table)
    with pytest.raises(ValueError, match="expected a .csv"):
        read_table(save(tmp_path / "x.png"))
    with pytest.raises(ValueError, match="No such file"):
        read_table(tmp_path / "none.csv")
    broken = tmp_path / "t.jsonl"
    broken.write_text("{")
    with pytest.raises(ValueError, match="not a table that can be read"):
        read_table(broken)
    results, truths = magicbrush(tmp_path)
    (results / "11" / "11_iter_3.png").unlink()
    with pytest.raises(ValueError, match="no 11_iter_3.png"):
        read_magicbrush(results, truths)
    (truths / "33").mkdir()
    with pytest.raises(ValueError, match="'33'"):
        read_magicbrush(results, truths)
    with pytest.raises(ValueError, match="is missing or empty"):
        read_pie(results, tmp_path)
    (tmp_path / "mapping_file.json").write_text('{"0": {"image_path": "a/b.jpg"}}')
    with pytest.raises(ValueError, match="no b.png or .jpg|has no 'editing_type_id'"):
        read_pie(results, tmp_path)
