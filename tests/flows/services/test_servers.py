"""What `up` starts and `down` stops, through the command line."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest

from flows import workspace
from flows.services import recorded
from flows.services import servers as services

from ..conftest import stemma


def free_ports() -> list[str]:
    """The options of `up` for two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return ["--mlflow-port", str(one.getsockname()[1]), "--prefect-port", str(other.getsockname()[1])]


def pids(status: dict) -> list[int]:
    return [service["pid"] for service in status["services"].values()]


def test_a_taken_port_is_one_line_that_names_who_has_it(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = stemma(project, "up", "--mlflow-port", str(port))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"port {port} is taken by" in ended.stderr
    assert f"(pid {os.getpid()}), the MLflow UI needs one; choose another with `stemma up --mlflow-port PORT`" in ended.stderr
    assert not (project / ".stemma" / "services.json").exists()


@pytest.mark.parametrize("port", ["0", "65536"])
def test_what_is_no_port_is_one_line(project: Path, port: str) -> None:
    ended = stemma(project, "up", "--mlflow-port", port)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith(f"port {port} is not a port, the MLflow UI needs one; choose another with")


def test_without_services_there_are_no_addresses(project: Path) -> None:
    found = services.status(project)
    assert found["prefect_api_url"] is None
    assert {service["state"] for service in found["services"].values()} == {"stopped"}
    assert found["tracking_uri"] == f"sqlite:///{project}/.stemma/mlflow/mlflow.db"
    services.down(project)


def test_an_id_that_went_to_another_process_is_not_a_service(project: Path) -> None:
    (project / ".stemma").mkdir(exist_ok=True)
    record = {"pid": os.getpid(), "started": psutil.Process().create_time() - 100, "url": "http://127.0.0.1:1"}
    (project / ".stemma" / "services.json").write_text(json.dumps({"prefect": record, "mlflow": record}))
    assert recorded.prefect_url(project) is None
    assert recorded.mlflow_url(project) is None
    services.down(project)


def test_down_leaves_everything_as_it_is_while_a_lifecycle_is_at_work_and_names_it(project: Path) -> None:
    with subprocess.Popen(["sleep", "99"]) as service:
        record = {"pid": service.pid, "started": psutil.Process(service.pid).create_time(), "url": "http://127.0.0.1:1"}
        (project / ".stemma").mkdir(exist_ok=True)
        (project / ".stemma" / "services.json").write_text(json.dumps({"prefect": record}))
        with workspace.lifecycle_lock(project):
            ended = stemma(project, "down")
        assert ended.returncode == 1
        assert re.fullmatch(rf"down: a `stemma run` \(pid {os.getpid()}, since [\d:]+\) is at work and reports to .*\n", ended.stderr)
        assert service.poll() is None
        service.kill()


@pytest.mark.e2e
def test_services_answer_outlive_their_verb_and_are_stopped_to_the_last_process(project: Path) -> None:
    try:
        ended = stemma(project, "up", *free_ports())
        assert ended.returncode == 0, ended.stderr
        status = json.loads(stemma(project, "status", "--json").stdout)
        for url in (status["services"]["mlflow"]["url"], status["services"]["prefect"]["url"], f"{status['prefect_api_url']}/health"):
            assert urllib.request.urlopen(url, timeout=10).status == 200
            assert url.startswith("http://127.0.0.1:")
        listening = [connection.laddr.ip for pid in pids(status) for connection in listeners(pid)]
        assert listening
        assert set(listening) == {"127.0.0.1"}

        assert stemma(project, "up").returncode == 0  # nothing to do
        family = [process for pid in pids(status) for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
        os.kill(status["services"]["mlflow"]["pid"], signal.SIGKILL)  # what it had started goes on without it
        assert json.loads(stemma(project, "status", "--json").stdout)["services"]["mlflow"]["state"] == "stopped"
    finally:
        stemma(project, "down")
    assert not [process for process in family if process.is_running()]
    assert json.loads(stemma(project, "status", "--json").stdout)["prefect_api_url"] is None


@pytest.mark.slow
def test_a_half_started_up_stops_what_it_has_started(project: Path) -> None:
    ended = stemma(project, "up", *free_ports(), PREFECT_SERVER_DATABASE_CONNECTION_URL="sqlite+aiosqlite:////proc/nowhere/prefect.db")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "prefect.log: the Prefect server did not start" in ended.stderr
    assert json.loads((project / ".stemma" / "services.json").read_text()) == {}


def listeners(pid: int) -> list:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return [one for process in family for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
