"""The Prefect server a run reports to: the one that is named, the one that is up, or one of its own for as long as it takes."""

import logging
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from flows import processes
from flows.services import recorded
from model.errors import UserError

START = 120  # seconds; a first start on a busy machine makes its database
STOP = 2
ON_ITS_OWN = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # its log is for its server; people see the display
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
    "PREFECT_CLIENT_MAX_RETRIES": "2",  # 6 seconds for one that is gone, and 3 minutes for one that is slow
}


def named(root: Path) -> str | None:
    """The server of PREFECT_API_URL, or of `stemma up`; None if there is neither.

    Raises:
        UserError: the one that PREFECT_API_URL names does not answer.
    """
    url = os.environ.get("PREFECT_API_URL")
    if url is None:
        return recorded.prefect_url(root)
    if not answers(url):
        raise UserError(f"PREFECT_API_URL: no Prefect server answers at {url}; start it, or unset the variable to run without one")
    return url


def answers(url: str) -> bool:
    """Whether a Prefect server is there."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=3) as response:
            return response.status == 200
    except HTTPError as error:
        return error.code in (401, 403)  # there, and particular about whom it talks to
    except (URLError, OSError, ValueError, HTTPException):
        return False


@contextmanager
def reporting_to(root: Path, url: str | None) -> Iterator[None]:
    """Point Prefect at a server: the one at `url`, or a private one until the end."""
    server = None if url else PrivateServer(root)
    os.environ |= ON_ITS_OWN
    logging.raiseExceptions = False  # nor is it said that a log cannot be sent
    try:
        from prefect import settings  # while the server starts

        with settings.temporary_settings({settings.PREFECT_API_URL: server.wait() if server else url}):
            yield
    finally:
        if server:
            server.stop()


class PrivateServer:
    """A server on a free port of loopback, without UI, on the project's own database. Ends with this process however that ends."""

    def __init__(self, root: Path) -> None:
        """Start it; it answers some seconds later."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api"
        self._log = root / ".stemma" / "logs" / "prefect-server.log"
        application = ["--factory", "prefect.server.api.server:create_app", "--lifespan", "on"]
        place = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
        self._group = processes.Pack(root).start(
            "prefect server",
            [sys.executable, "-m", "uvicorn", *application, *place],
            {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
            self._log,
        )

    def wait(self) -> str:
        """Its address, as soon as it answers.

        Raises:
            UserError: it ended, or took too long.
        """
        deadline = time.monotonic() + START
        while not answers(self.url):
            if self._group.ended() or time.monotonic() > deadline:
                last = next((line.strip() for line in reversed(processes.tail(self._log)) if line.strip()), "no output")
                raise UserError(f"{self._log}: the Prefect server did not start ({last}); mend that and run `stemma run` again")
            time.sleep(0.1)
        return self.url

    def stop(self) -> None:
        """Let it write what it has received, and end it."""
        self._group.terminate(STOP)
