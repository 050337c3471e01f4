"""Room on the disk: anything that writes may find none."""

import errno
import shutil
import sqlite3
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MET = (OSError, sqlite3.OperationalError)  # how it is told
LEAST = 1 << 20  # bytes; with less, what git or a database could not do was for that


def lacks(root: Path) -> bool:
    """Whether the disk of the project is full."""
    return shutil.disk_usage(root).free < LEAST


def explains(root: Path, error: Exception) -> bool:
    """Whether an error is for want of room, by what it says or by how the disk is now."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return lacks(root) or (isinstance(error, sqlite3.OperationalError) and "disk" in str(error))
