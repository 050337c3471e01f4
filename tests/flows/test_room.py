"""A full disk is one line, whatever finds it full."""

import errno
import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flows import room

from .conftest import REPOSITORY, STEMMA


def test_a_verb_that_cannot_write_says_so_in_one_line(project: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", STEMMA, str(project), "plan"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    assert line.startswith(f"{project}: no room on its disk (")
    assert line.endswith("; make some, and the same command again goes on")


def test_a_project_that_may_not_be_written_to_is_one_line(tmp_path: Path) -> None:
    refused = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".stemma/locks/workspace"))
    assert str(room.told(tmp_path, refused)).startswith(f"{tmp_path}/.stemma/locks/workspace: Permission denied; ")
    assert room.told(tmp_path, PermissionError(errno.EACCES, "Permission denied", "/elsewhere")) is None


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (sqlite3.OperationalError("database or disk is full"), True),
        (sqlite3.OperationalError("no such table: runs"), False),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), False),
        (ValueError("nothing to do with it"), False),
    ],
)
def test_other_errors_are_not_taken_for_it(tmp_path: Path, error: Exception, explained: bool) -> None:
    assert room.explains(tmp_path, error) is explained
