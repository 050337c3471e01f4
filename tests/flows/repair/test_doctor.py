"""What doctor says of `data/`."""

from pathlib import Path

from flows.repair.doctor import _data_of_another_version


def test_a_deleted_file_comes_back_and_an_edited_one_is_left(finished: Path) -> None:
    words = finished / "data/words.txt"
    words.unlink()
    [ailment] = _data_of_another_version(finished)
    assert str(ailment) == "data: not what its .dvc file says; checked out of the DVC cache"
    assert words.read_text() == "one\ntwo\n"
    assert not [*_data_of_another_version(finished)]
    words.write_text("edited")
    [ailment] = _data_of_another_version(finished)
    assert str(ailment).startswith("data: not the files of data.dvc; `dvc add data` makes them a data version")
    assert words.read_text() == "edited"
