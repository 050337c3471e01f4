"""The schedule, through the command line, and through a real server and runner where it says e2e."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.objects import StateType
from ruamel.yaml import YAML

from flows import lifecycle
from flows.history import run_commits
from flows.history.git import git
from flows.services import prefect_server, schedule, timetable
from model.errors import UserError

from ..conftest import commit, stemma

PATIENCE = 180  # seconds, for a machine with other work


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cron": "hello"}, r'hello: not a cron line, which has 5 fields; such as `stemma schedule "0 2 \* \* \*"`'),
        ({"cron": "0 2 * * 9"}, r"0 2 \* \* 9: not a cron line"),
        ({"cron": "0 0 31 2 *"}, r"0 0 31 2 \*: it names no date that ever comes"),
        ({"every": "6"}, r"--every 6: not an interval; write a number and s, m, h or d, such as 15s or 6h"),
        ({"every": "0s"}, r"--every 0s: not an interval"),
        ({"cron": "0 2 * * *", "timezone": "Mars/Olympus"}, r"--timezone Mars/Olympus: no such time zone"),
        ({"cron": "0 2 * * *", "every": "6h"}, r"give a cron line, --every or --remove, one of them"),
        ({}, r"give a cron line, --every or --remove"),
        ({"cron": "0 2 * * *"}, r"there is no server to keep it; run `stemma up` first, or set PREFECT_API_URL"),
    ],
)
def test_what_cannot_be_scheduled_is_said_in_one_line(project: Path, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        schedule.schedule(project, **arguments)
    assert "\n" not in str(raised.value)
    assert schedule.describe(project) is None


@pytest.fixture
def server() -> Iterator[Callable[[bytes], str]]:
    """The address of one that answers everything with the same bytes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(answer: bytes) -> str:
        def loop() -> None:
            with suppress(OSError):  # closed in the end
                while True:
                    asking, _ = listening.accept()
                    with asking:
                        asking.recv(2**16)
                        asking.sendall(answer)

        threading.Thread(target=loop, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/api"

    yield serve
    listening.close()


def test_what_speaks_no_http_is_no_server(server: Callable[[bytes], str]) -> None:
    assert not prefect_server.answers(server(b"SSH-2.0-OpenSSH\r\n"))


def test_a_schedule_that_the_server_refuses_is_one_line_and_not_kept(
    project: Path, server: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}")
    monkeypatch.setattr(prefect_server, "named", lambda root: url)
    with pytest.raises(UserError, match=rf"^schedule: the server at {url} does not take it \(.*404.*\); see its log$"):
        schedule.schedule(project, every="6h")
    assert schedule.describe(project) is None


@pytest.mark.parametrize(("zone", "meant"), [("Europe/Berlin", "Europe/Berlin"), ("CET-1CEST", "UTC"), ("", "UTC")])
def test_a_zone_without_a_name_is_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, meant: str) -> None:
    monkeypatch.setenv("TZ", zone)
    monkeypatch.setattr(timetable, "LOCALTIME", tmp_path / "localtime")
    assert timetable.build(None, "6h", None)["timezone"] == meant


@pytest.mark.e2e
def test_a_server_that_does_not_answer_is_one_line_and_exit_1(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    ended = stemma(project, "schedule", "--every", "6h")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "PREFECT_API_URL: no Prefect server answers at http://127.0.0.1:9/api" in ended.stderr


@pytest.fixture
def ports(project: Path) -> Iterator[list[str]]:
    """The options of `up`; whatever is up in the end is stopped."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        options = ["--mlflow-port", str(one.getsockname()[1]), "--prefect-port", str(other.getsockname()[1])]
    yield options
    stemma(project, "down")


def up(project: Path, ports: list[str]) -> None:
    ended = stemma(project, "up", *ports)
    assert ended.returncode == 0, ended.stderr


def status(project: Path) -> dict[str, Any]:
    return json.loads(stemma(project, "status", "--json").stdout)


def runs(ports: list[str], *states: str) -> list[dict[str, Any]]:
    """The runs of the schedule that were due by now in one of these states, in the order of their times.

    A lifecycle that executes something shows itself too, as a run of no deployment that ends before its commit is made.
    """
    wanted = {
        "sort": "EXPECTED_START_TIME_ASC",
        "flow_runs": {"state": {"name": {"any_": states}}, "expected_start_time": {"before_": datetime.now(UTC).isoformat()}},
    }
    url, headers = f"http://127.0.0.1:{ports[3]}/api/flow_runs/filter", {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(wanted).encode(), headers), timeout=30) as response:
        return [run for run in json.load(response) if run["deployment_id"]]


def wait_for(ports: list[str], count: int, *states: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE
    while len(found := runs(ports, *states)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return found


def missed(found: list[dict[str, Any]], stopped: datetime, started: datetime) -> list[dict[str, Any]]:
    """Those that were due while nothing was up."""
    return [run for run in found if stopped < datetime.fromisoformat(run["expected_start_time"]) < started]


@pytest.fixture
def committed(shipped: Path) -> Callable[[str, str], None]:
    """Replace a text in params.yaml, and commit that."""

    def change(old: str, new: str) -> None:
        git(shipped, "checkout", "-q", "params.yaml")
        (shipped / "params.yaml").write_text((shipped / "params.yaml").read_text().replace(old, new))
        git(shipped, "-c", "user.name=tester", "-c", "user.email=tester@example.org", "commit", "-qam", new)

    return change


@pytest.mark.e2e
@pytest.mark.usefixtures("homes")
def test_after_a_crash_what_was_running_is_closed_and_one_of_the_missed_runs_is_made_up_for(
    shipped: Path, ports: list[str], committed: Callable[[str, str], None]
) -> None:
    project = shipped
    committed("seconds: 0", "seconds: 60")
    up(project, ports)
    said = stemma(project, "schedule", "--every", "5s", "--timezone", "Asia/Shanghai")
    assert said.stdout.startswith("scheduled; the first run is due at 2"), said
    assert "CST" in said.stdout
    found = status(project)
    assert found["schedule"] == {"every": "5s", "timezone": "Asia/Shanghai"}
    wait_for(ports, 1, "Running")
    assert status(project)["next_runs"]

    runner = psutil.Process(found["services"]["runner"]["pid"])
    for process in (runner, *runner.children(recursive=True)):
        process.send_signal(signal.SIGKILL)
    stopped = datetime.now(UTC)
    committed("seconds: 60", "seconds: 0")
    (project / "params.yaml").write_text("what is not committed is not run")
    time.sleep(max(0.0, 11 - (datetime.now(UTC) - stopped).total_seconds()))
    started = datetime.now(UTC)
    up(project, ports)

    assert len(runs(ports, "Crashed")) == 1
    made_up = wait_for(ports, 1, "Completed")[0]
    skipped = missed(runs(ports, "Missed"), stopped, started)
    assert skipped
    assert made_up["expected_start_time"] > skipped[-1]["expected_start_time"]
    assert stemma(project, "schedule", "--remove").stdout == "not scheduled any more\n"
    assert status(project)["schedule"] is None
    assert status(project)["next_runs"] == []


@pytest.mark.e2e
@pytest.mark.usefixtures("homes")
def test_why_a_scheduled_run_failed_is_one_line_in_prefect_and_in_status(
    shipped: Path, ports: list[str], committed: Callable[[str, str], None]
) -> None:
    assert status(shipped)["last_run"] is None
    committed("word: bb", "wort: bb")
    up(shipped, ports)
    stemma(shipped, "schedule", "--every", "5s")
    failed = wait_for(ports, 1, "Failed")[0]
    stemma(shipped, "schedule", "--remove")
    why = failed["state"]["message"]
    assert "\n" not in why
    assert "item.word" in why
    last = status(shipped)["last_run"]
    assert (last["state"], last["message"]) == ("Failed", why)
    assert f", Failed: {why}\n" in stemma(shipped, "status").stdout


@pytest.mark.e2e
@pytest.mark.usefixtures("homes")
def test_what_became_of_head_is_one_line(shipped: Path, committed: Callable[[str, str], None]) -> None:
    state = lifecycle._at_head(shipped, [])
    assert (state.type, state.message) == (StateType.COMPLETED, "5 ran")
    committed("seconds: 0", "seconds: 0; exit 7")
    state = lifecycle._at_head(shipped, [])
    assert state.type == StateType.FAILED
    assert re.fullmatch(r"seed: exit code 7.*`stemma run --only seed` runs it again.*", str(state.message))


@pytest.mark.slow
def test_a_schedule_fires_three_times_then_again_after_down_and_up_once_for_all_that_were_missed(shipped: Path, ports: list[str]) -> None:
    project = shipped
    up(project, ports)
    stemma(project, "schedule", "--every", "15s")
    fired = wait_for(ports, 3, "Completed")
    for one, next_one in pairwise(fired):
        assert one["end_time"] <= next_one["start_time"]

    stemma(project, "down")
    stopped = datetime.now(UTC)
    time.sleep(50)
    started = datetime.now(UTC)
    up(project, ports)
    wait_for(ports, len(fired) + 3, "Completed")
    assert len(missed(runs(ports, "Missed"), stopped, started)) >= 2
    assert len(missed(runs(ports, "Completed"), stopped, started)) <= 1


@pytest.mark.slow
def test_a_schedule_that_fires_after_a_rollback_runs_on_the_data_gone_back_to(shipped: Path, ports: list[str]) -> None:
    project = shipped
    versions = []
    for words in ("one\ntwo\n", "one\ntwo\nthree\n"):
        (project / "data/words.txt").write_text(words)
        subprocess.run(["dvc", "add", "-q", "data"], cwd=project, check=True)
        assert stemma(project, "run").returncode == 0
        commit(project, words)
        versions.append(run_commits.listed(project)[0].data_version)
    up(project, ports)
    assert stemma(project, "rollback", str(versions[0]), "--yes").returncode == 0
    (project / "params.yaml").write_text((project / "params.yaml").read_text().replace("seed: s", "seed: t"))
    commit(project, "something to run")
    stemma(project, "schedule", "--every", "15s")
    wait_for(ports, 1, "Completed")
    newest = run_commits.listed(project)[0]
    assert newest.data_version == versions[0]
    lock = YAML(typ="safe").load(git(project, "show", f"{newest.commit}:dvc.lock"))
    [used] = [entry["md5"] for entry in lock["stages"]["seed"]["deps"] if entry["path"] == "data"]
    assert used == versions[0]
    assert lock["stages"]["seed"]["params"]["params.yaml"] == {"letters.seed": "t"}
