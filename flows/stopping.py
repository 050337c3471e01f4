"""Ctrl-C and SIGTERM end a run within seconds, whatever it is waiting for."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE = 3  # seconds to tell Prefect and MLflow; then the process ends, and by their leashes all that it started


@contextmanager
def promptly() -> Iterator[None]:
    """Both signals unwind the stack, so that everything on the way is ended. Prefect sets a handler of its own: enter this inside too."""
    before = {number: signal.signal(number, _unwind) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwind(number: int, frame: FrameType | None) -> None:
    cut = threading.Timer(GRACE, os._exit, [128 + number])
    cut.daemon = True
    cut.start()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
