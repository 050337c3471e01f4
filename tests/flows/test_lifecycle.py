"""The flow on a real Prefect server, in processes of their own, as people start and stop them."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows import environment
from flows import plan as planning
from flows.services import flow_runs
from flows.services.prefect_server import PrivateServer

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("homes")]

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = f"""
import json, signal, sys
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from flows import environment
root, only, force = Path(sys.argv[1]), sys.argv[2].split(), sys.argv[3:]
environment.quiet(root)
from flows import running
from model.errors import UserError
try:
    result = running.run(root, only, force)
except UserError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit(130)
print(json.dumps(result.to_json()))
sys.exit(result.exit_code)
"""
Change = Callable[..., None]
NAMES = ["seed", "part@a", "part@b", "part@c", "whole"]


@pytest.fixture(scope="session")
def server(empty_homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One server for the session: its address, and its database."""
    root = tmp_path_factory.mktemp("server")
    shutil.copytree(empty_homes, root / ".stemma")
    before = dict(os.environ)
    environment.quiet(root)
    running = PrivateServer(root)
    os.environ.clear()
    os.environ.update(before)
    yield running.wait(), root / ".stemma" / "prefect" / "prefect.db"
    running.stop()


@pytest.fixture
def reporting(project: Path, server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, with the session's server in the environment."""
    monkeypatch.setenv("PREFECT_API_URL", server[0])
    return project


def start(project: Path, only: str = "", *force: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, str(project), only, *force]
    return subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, dict[str, str], str]:
    """Exit code, outcomes and what was said."""
    out, said = process.communicate(timeout=200)
    document = json.loads(out) if out else {"stages": []}
    return process.returncode, {stage["name"]: stage["outcome"] for stage in document["stages"]}, said


def run(project: Path, only: str = "", *force: str) -> tuple[int, dict[str, str], str]:
    return finish(start(project, only, *force))


def rows(database: Path, query: str) -> list[tuple]:
    with sqlite3.connect(database) as connection:
        return connection.execute(query).fetchall()


def ours(project: Path) -> list[str]:
    """Names of the processes that work in a project, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project) and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.name())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def dvc(project: Path, verb: str) -> str:
    return subprocess.run([sys.executable, "-m", "dvc", verb], cwd=project, capture_output=True, text=True, check=True).stdout


def test_prefect_shows_the_graph_with_the_outcome_of_every_stage(reporting: Path, server: tuple[str, Path], change: Change) -> None:
    assert run(reporting)[:2] == (0, dict.fromkeys(NAMES, "ran"))
    assert run(reporting)[:2] == (0, dict.fromkeys(NAMES, "unchanged"))
    assert "up to date" in dvc(reporting, "status")
    change("word: cc", "word: dd")
    assert run(reporting)[:2] == (0, dict.fromkeys(NAMES, "unchanged") | {"part@c": "ran"})
    [flow] = rows(server[1], "select id, state_name from flow_run order by created desc limit 1")
    assert flow[1] == "Completed"
    tasks = rows(server[1], f"select id, name, state_name, task_inputs from task_run where flow_run_id = '{flow[0]}'")
    assert {name: state for _, name, state, _ in tasks} == dict.fromkeys(NAMES, "Unchanged") | {"part@c": "Ran"}
    names = {identity.replace("-", ""): name for identity, name, _, _ in tasks}
    [inputs] = [json.loads(inputs) for _, name, _, inputs in tasks if name == "whole"]
    assert {names[one["id"].replace("-", "")] for one in inputs["wait_for"]} == {"part@a", "part@b"}


def test_a_failed_stage_fails_the_flow_in_one_line_and_the_next_run_goes_on(
    reporting: Path, server: tuple[str, Path], change: Change
) -> None:
    change('echo "${item.word}")', 'test "${item.word}" != fail && echo "${item.word}")', "dvc.yaml")
    change("word: bb", "word: fail")
    code, outcomes, said = run(reporting)
    assert code == 1
    assert outcomes == {"seed": "ran", "part@a": "ran", "part@b": "failed", "part@c": "ran", "whole": "skipped"}
    [line] = [line for line in said.splitlines() if "exit code" in line]
    assert "`stemma run --only part@b` runs it again" in line
    assert "Traceback" not in said
    [(state,)] = rows(server[1], "select state_name from flow_run order by created desc limit 1")
    assert state == "Failed"
    change("word: fail", "word: bb")
    assert run(reporting)[:2] == (0, {"seed": "unchanged", "part@a": "unchanged", "part@b": "ran", "part@c": "unchanged", "whole": "ran"})


def test_a_run_without_services_has_a_server_of_its_own_and_leaves_nothing(project: Path) -> None:
    code, outcomes, said = run(project)
    assert (code, outcomes) == (0, dict.fromkeys(NAMES, "ran"))
    assert "Traceback" not in said
    assert ours(project) == []
    states = rows(project / ".stemma" / "prefect" / "prefect.db", "select distinct state_name from task_run")
    assert states == [("Ran",)]
    began = time.monotonic()
    assert run(project)[:2] == (0, dict.fromkeys(NAMES, "unchanged"))
    assert time.monotonic() - began < 20
    assert rows(project / ".stemma" / "prefect" / "prefect.db", "select count(*) from flow_run") == [(1,)]


def test_a_server_that_does_not_answer_is_one_line_within_seconds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code, outcomes, said = run(project)
    assert (code, outcomes) == (1, {})
    assert re.fullmatch(r"PREFECT_API_URL: no Prefect server answers at http://127\.0\.0\.1:9/api; .*\n", said)


def test_a_run_goes_on_in_one_line_when_its_server_is_killed(project: Path, change: Change) -> None:
    change("seconds: 0", "seconds: 3")
    process = start(project)
    wait_until(lambda: "sleep" in ours(project), 120)
    for child in psutil.Process(process.pid).children(recursive=True):
        if "uvicorn" in child.cmdline():
            child.kill()
    killed = time.monotonic()
    code, outcomes, said = finish(process)
    assert time.monotonic() - killed < 90
    assert (code, outcomes) == (0, dict.fromkeys(NAMES, "ran"))
    [line] = [line for line in said.splitlines() if ": running, " not in line and ": ran (" not in line]
    assert line.startswith("Prefect: its server does not answer any more (")
    assert flow_runs.reporting(project).exists()  # so that the next run closes this one there


def test_a_server_that_ends_before_the_flow_begins_is_done_without_too(project: Path) -> None:
    ends = """import psutil
from flows import running
from flows.services import flow_runs
flow_runs.bury_the_dead = lambda _: [one.kill() for one in psutil.Process().children(recursive=True) if "uvicorn" in one.cmdline()]"""
    command = [sys.executable, "-c", RUN.replace("from flows import running", ends), str(project), ""]
    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("Prefect: its server does not answer any more (")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("how", "private"),
    [
        (signal.SIGINT, False),
        (signal.SIGKILL, True),
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow),
        *(pytest.param(how, how != signal.SIGKILL, marks=pytest.mark.slow) for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)),
    ],
)
def test_stopping_a_run_alone_leaves_no_process(
    project: Path, server: tuple[str, Path], change: Change, monkeypatch: pytest.MonkeyPatch, how: signal.Signals, private: bool
) -> None:
    if not private:
        monkeypatch.setenv("PREFECT_API_URL", server[0])
    change("seconds: 0", "seconds: 66.25")
    process = start(project)
    wait_until(lambda: "sleep" in ours(project), 120)
    process.send_signal(how)
    wait_until(lambda: not ours(project), 5)
    code, _, said = finish(process)
    assert code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    assert "Traceback" not in said
    change("seconds: 66.25", "seconds: 0")
    monkeypatch.setenv("PREFECT_API_URL", server[0])
    assert run(project)[:2] == (0, dict.fromkeys(NAMES, "ran"))
    assert rows(server[1], "select count(*) from flow_run where state_type in ('RUNNING', 'PENDING')") == [(0,)]


def test_a_run_that_was_killed_when_all_was_done_is_closed_by_the_next_which_executes_nothing(
    reporting: Path, server: tuple[str, Path], change: Change
) -> None:
    run(reporting)
    change("word: cc", "word: dd")
    dies = "import os; from flows import lifecycle, running; lifecycle._show = lambda *_: os.kill(os.getpid(), 9)"
    script = RUN.replace("from flows import running", dies)
    killed = subprocess.run([sys.executable, "-c", script, str(reporting), ""], cwd=reporting, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    unended = "select count(*) from flow_run where state_type in ('RUNNING', 'PENDING')"
    assert rows(server[1], unended) == [(1,)]
    assert run(reporting)[:2] == (0, dict.fromkeys(NAMES, "unchanged"))
    assert rows(server[1], unended) == [(0,)]


def test_of_two_runs_at_once_the_second_waits_and_says_who_runs(reporting: Path, change: Change) -> None:
    change("seconds: 0", "seconds: 0.2")
    both = [start(reporting), start(reporting)]
    found = [finish(process) for process in both]
    assert [code for code, _, _ in found] == [0, 0]
    assert sorted(outcomes["whole"] for _, outcomes, _ in found) == ["ran", "unchanged"]
    assert sum("another `stemma run` (pid " in said for _, _, said in found) == 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_runs_in_a_row_with_plans_meanwhile_make_no_error(reporting: Path, change: Change) -> None:
    change("seconds: 0", "seconds: 0.2")
    stop, plans, errors = threading.Event(), [], []

    def look() -> None:
        while not stop.is_set():
            try:
                plans.append(planning.plan(reporting))
            except Exception as error:
                errors.append(error)

    looker = threading.Thread(target=look)
    looker.start()
    for number in range(20):
        change("seed: s" if number == 0 else f"seed: s{number - 1}", f"seed: s{number}")
        code, outcomes, said = run(reporting)
        assert (code, outcomes) == (0, dict.fromkeys(NAMES, "ran")), said
    stop.set()
    looker.join()
    assert errors == []
    assert len(plans) > 20
    assert "up to date" in dvc(reporting, "status")
    assert "Running stage" not in dvc(reporting, "repro")
