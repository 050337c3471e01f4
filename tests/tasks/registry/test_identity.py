import shutil
from pathlib import Path

from tasks.registry.identity import hash_of


def test_the_hash_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_text("1")
    first = hash_of(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert hash_of(tmp_path / "b") == first
    (tmp_path / "b/one").rename(tmp_path / "b/two")
    assert hash_of(tmp_path / "b") != first
