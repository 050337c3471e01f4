"""A file has what it had, or what it was to have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import atomic

WRITER = """
import sys
from pathlib import Path
from flows import atomic
root = Path(sys.argv[1])
while True:
    for letter in "ab":
        atomic.write(root, root / "file", letter * 200_000)
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic.write(tmp_path, tmp_path / "file", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(tmp_path, tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"


def test_a_kill_leaves_one_text_or_the_other(tmp_path: Path) -> None:
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=Path(__file__).parents[2]) as writer:
            while writer.poll() is None and not (tmp_path / "file").exists():
                pass
            writer.kill()
        text = (tmp_path / "file").read_text()
        assert len(text) == 200_000
        assert len(set(text)) == 1
        (tmp_path / "file").unlink()
