"""Results appear whole or not at all, and never through a link."""

import pytest
from instruct_pix2pix.headless.errors import OutputError, ServerMisbehaved
from instruct_pix2pix.headless.files import write_whole
from instruct_pix2pix.headless.formats import PNG

WHOLE = PNG.start + b"anything" + PNG.end


def write(path, data):
    with write_whole(path) as file:
        file.write(data)


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "new" / "a.png"
    write(path, WHOLE)
    with pytest.raises(ServerMisbehaved, match="not a whole PNG"):
        write(path, WHOLE[:-1])
    with pytest.raises(RuntimeError), write_whole(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == WHOLE
    assert [found.name for found in path.parent.iterdir()] == ["a.png"]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "a.png").symlink_to(tmp_path / "outside")
    write(tmp_path / "a.png", WHOLE)
    assert (tmp_path / "outside").read_text() == "mine"
    assert not (tmp_path / "a.png").is_symlink()


def test_where_nothing_can_be_written_it_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "file" / "a.png", WHOLE)
