"""What a disk may refuse to anything that writes: it is full, or not the user's to write to."""

import errno
import shutil
import sqlite3
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
MET = (OSError, sqlite3.OperationalError)  # how it is told
LEAST = 1 << 20  # bytes; with less, what git or a database could not do was for that


def lacks(root: Path) -> bool:
    """Whether the disk of the project is full."""
    return shutil.disk_usage(root).free < LEAST


def is_full(error: Exception) -> bool:
    """Whether an error says so itself: whoever tells of damage, or of a network, leaves it to `cli.main`."""
    return isinstance(error, OSError) and error.errno in FULL


def explains(root: Path, error: Exception) -> bool:
    """Whether an error is for want of room, by what it says or by how the disk is now."""
    if is_full(error):
        return True
    return lacks(root) or (isinstance(error, sqlite3.OperationalError) and "disk" in str(error))


def told(root: Path, error: Exception) -> str | None:
    """One line about an error that is the disk's; None about another."""
    if explains(root, error):
        return f"{root}: no room on its disk ({error}); make some, and the same command again goes on"
    file = getattr(error, "filename", None)
    if isinstance(error, OSError) and error.errno in DENIED and isinstance(file, str) and Path(file).is_relative_to(root):
        return f"{file}: {error.strerror}; Stemma writes below {root}: run it as the owner, or work in a clone of your own"
    return None
