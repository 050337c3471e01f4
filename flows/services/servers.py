"""The processes that stay when a verb has ended: MLflow's UI, the Prefect server and the runner of the schedule, all on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import psutil
from filelock import FileLock

from flows import processes, workspace
from flows.services import prefect_server, recorded, schedule
from model.errors import UserError
from tasks import tracking

START = 180  # seconds; a first start makes a database, and the machine may be busy
STOP = 10


@dataclass(frozen=True)
class Service:
    """How to start one of them, and how to see that it answers."""

    name: str
    title: str
    command: list[str]
    variables: dict[str, str]
    url: str | None
    port: int | None
    answers: Callable[[int], bool]  # given its process id


def up(root: Path, mlflow_port: int = 5000, prefect_port: int = 4200) -> None:
    """Start what is not running, and wait until it answers. What a service of the environment does already is left to that one.

    Raises:
        UserError: a port is taken, or a service does not start; what this call has started is stopped again.
    """
    with _lock(root):
        running = recorded.running(root)
        servers = [service for service in (_mlflow(root, mlflow_port), _prefect(root, prefect_port)) if service]
        starting = [service for service in servers if service.name not in running]
        lost = {service.name for service in starting}
        _stop(root, lost | {"runner"} if "prefect" in lost or "runner" not in running else lost)  # what is left of them
        for service in starting:
            _require_free_port(service)
        if "mlflow" not in running and not (_mlflow_folder(root) / "mlflow.db").exists():
            tracking.connect(root)  # makes the database
        try:
            for service in starting:
                _start(root, service)
            if "runner" not in recorded.running(root):
                starting.append(_runner(root))
                _start(root, starting[-1])
            for service in starting:
                _wait(root, service)
        except BaseException:
            _stop(root, {service.name for service in starting})
            raise


def down(root: Path) -> None:
    """Stop exactly what `up` has started, the runner and the lifecycle that it has begun first.

    Raises:
        UserError: a lifecycle is at work in the work tree.
    """
    if recorded.running(root) and (who := workspace.at_work(root)):
        raise UserError(
            f"down: a {who} is at work and reports to what would stop; let it end, or end it by Ctrl-C or `kill`, then do this again"
        )
    with _lock(root):
        _stop(root, set(recorded.read(root)))


def status(root: Path) -> dict[str, Any]:
    """Where everything is: `tracking_uri`, `prefect_api_url`, the services, the schedule, its last run and its next ones."""
    running, url = recorded.running(root), os.environ.get("PREFECT_API_URL") or recorded.prefect_url(root)
    elsewhere = {"mlflow": _mlflow_elsewhere(root), "prefect": os.environ.get("PREFECT_API_URL"), "runner": None}
    services = {}
    for name, other in elsewhere.items():
        if name in running:
            services[name] = {"state": "running", "url": running[name]["url"], "pid": running[name]["pid"]}
        else:
            services[name] = {"state": "elsewhere" if other else "stopped", "url": other, "pid": None}
    return {
        "tracking_uri": tracking.uri(root),
        "prefect_api_url": url,
        "services": services,
        "schedule": schedule.describe(root),
        "last_run": schedule.last_run(root, url) if url else None,
        "next_runs": schedule.next_runs(root, url) if url else [],
    }


# --- the three ----------------------------------------------------------------------------------------------------------------------------


def _mlflow(root: Path, port: int) -> Service | None:
    if _mlflow_elsewhere(root):
        return None
    url = f"http://127.0.0.1:{port}"
    stores = ["--backend-store-uri", tracking.uri(root), "--default-artifact-root", (_mlflow_folder(root) / "artifacts").as_uri()]
    place = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *stores, *place]
    return Service("mlflow", "the MLflow UI", command, {}, url, port, lambda pid: _answers(f"{url}/health"))


def _mlflow_folder(root: Path) -> Path:
    return root.resolve() / ".stemma" / "mlflow"


def _mlflow_elsewhere(root: Path) -> str | None:
    return tracking.uri(root) if tracking.uri(root).startswith("http") else None


def _prefect(root: Path, port: int) -> Service | None:
    if "PREFECT_API_URL" in os.environ:
        prefect_server.named(root)
        return None
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    variables = {
        "PREFECT_API_URL": f"{url}/api",  # the UI asks there
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    }
    return Service("prefect", "the Prefect server", command, variables, url, port, lambda pid: prefect_server.answers(f"{url}/api"))


def _runner(root: Path) -> Service:
    url = os.environ.get("PREFECT_API_URL") or recorded.prefect_url(root)
    assert url is not None
    ready = root / ".stemma" / "runner"
    code = str(Path(__file__).parents[2])
    variables = {"PREFECT_API_URL": url, "PYTHONPATH": os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "flows.services.deployment", schedule.deployment_name(root), str(ready)]
    return Service("runner", "the schedule's runner", command, variables, None, None, lambda pid: _says(ready, pid))


def _says(ready: Path, pid: int) -> bool:
    return ready.is_file() and ready.read_text(encoding="utf-8") == str(pid)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            return response.status == 200
    except (URLError, OSError, HTTPException):
        return False


def _require_free_port(service: Service) -> None:
    assert service.port is not None
    reason = "is not a port"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", service.port))
        except PermissionError:
            reason = "may not be used by you"
        except OSError:
            reason = f"is taken by {_holder(service.port)}"
        except OverflowError:
            pass
        else:
            if service.port:  # 0 is whichever is free
                return
    raise UserError(f"port {service.port} {reason}, {service.title} needs one; choose another with `stemma up --{service.name}-port PORT`")


def _holder(port: int) -> str:
    with suppress(psutil.AccessDenied):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                with suppress(psutil.NoSuchProcess):
                    return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"


# --- starting, finding and stopping -------------------------------------------------------------------------------------------------------


def _start(root: Path, service: Service) -> None:
    log = _log(root, service.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            service.command,
            cwd=root,
            env=os.environ | service.variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives the terminal
        )
    record = {"pid": process.pid, "started": psutil.Process(process.pid).create_time(), "url": service.url}
    recorded.write(root, recorded.read(root) | {service.name: record})


def _wait(root: Path, service: Service) -> None:
    record, deadline = recorded.read(root)[service.name], time.monotonic() + START
    while not service.answers(record["pid"]):
        if service.name not in recorded.running(root) or time.monotonic() > deadline:
            last = next((line.strip() for line in reversed(processes.tail(_log(root, service.name))) if line.strip()), "it said nothing")
            raise UserError(f"{_log(root, service.name)}: {service.title} did not start ({last}); mend that and run `stemma up` again")
        time.sleep(0.2)


def _stop(root: Path, names: set[str]) -> None:
    """End these and everything below them: the runner before what it reports to, and at once what does not end when asked."""
    for together in ({"runner"}, {"mlflow", "prefect"}):
        groups = [record for name, record in recorded.read(root).items() if name in together & names]
        family = {process for record in groups for pid in processes.members(record) for process in _family(pid)}
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, stubborn = psutil.wait_procs(family, timeout=STOP)
        for process in stubborn:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=STOP)
    if names & set(recorded.read(root)):
        recorded.write(root, {name: record for name, record in recorded.read(root).items() if name not in names})


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _lock(root: Path) -> FileLock:
    file = root / ".stemma" / "locks" / "services"
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file)


def _log(root: Path, name: str) -> Path:
    return root / ".stemma" / "logs" / f"{name}.log"
