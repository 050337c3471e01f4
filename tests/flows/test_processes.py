import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows import processes
from flows.processes import Pack, shell
from model.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]


def alive(word: str) -> list[int]:
    """Processes with `word` among their arguments."""
    return [process.pid for process in psutil.process_iter(["cmdline"]) if word in (process.info["cmdline"] or [])]


def wait_until(condition, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_command_gives_its_exit_code_and_leaves_its_output_in_the_log(tmp_path: Path) -> None:
    group = Pack(tmp_path).start("speak", shell("echo one; echo two >&2; exit 3"), {}, tmp_path / "log")
    assert group.wait() == 3
    assert processes.tail(tmp_path / "log") == ["one", "two"]


def test_a_command_of_several_lines_stops_at_the_first_that_fails(tmp_path: Path) -> None:
    group = Pack(tmp_path).start("lines", shell("echo one\nfalse\necho two"), {}, tmp_path / "log")
    assert group.wait() == 1
    assert processes.tail(tmp_path / "log") == ["one"]


def test_a_command_sees_the_variables_it_is_given(tmp_path: Path) -> None:
    group = Pack(tmp_path).start("variables", shell("echo $STEMMA_KEY"), {"STEMMA_KEY": "abc"}, tmp_path / "log")
    assert group.wait() == 0
    assert processes.tail(tmp_path / "log") == ["abc"]


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    group = Pack(tmp_path).start("left", shell("sleep 61.25 & exit 0"), {}, tmp_path / "log")
    assert group.wait() == 0
    wait_until(lambda: not alive("61.25"))


def test_a_pack_ends_all_its_groups_and_starts_no_more(tmp_path: Path) -> None:
    pack = Pack(tmp_path)
    groups = [pack.start(f"long {number}", shell("sleep 62.25; true"), {}, tmp_path / "log") for number in range(2)]
    assert processes.running(tmp_path) == {"long 0", "long 1"}
    pack.kill()
    assert [group.wait() for group in groups] == [-signal.SIGKILL] * 2
    wait_until(lambda: not alive("62.25"))
    with pytest.raises(UserError, match="late: stopped before it began"):
        pack.start("late", shell("true"), {}, tmp_path / "log")


def test_a_command_that_is_asked_to_end_may_finish_what_it_does(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(print('bye'))); print('up', flush=True); time.sleep(60)",
    ]
    group = Pack(tmp_path).start("polite", command, {}, tmp_path / "log")
    wait_until(lambda: processes.tail(tmp_path / "log") == ["up"])
    group.terminate(seconds=5)
    assert processes.tail(tmp_path / "log") == ["up", "bye"]
    assert processes.running(tmp_path) == set()


PARENT = """
import sys, time
sys.path.insert(0, {repository!r})
from pathlib import Path
from flows.processes import Pack, shell
Pack(Path({root!r})).start("orphan", shell("sleep 63.25 & sleep 63.25"), {{}}, Path({root!r}, "log"))
print("started", flush=True)
time.sleep(60)
"""


def test_a_killed_parent_leaves_no_process(tmp_path: Path) -> None:
    code = PARENT.format(repository=str(REPOSITORY), root=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        parent.stdout.readline()
        wait_until(lambda: len(alive("63.25")) == 2)
        parent.kill()
        wait_until(lambda: not alive("63.25"))


def test_a_recorded_group_that_still_lives_is_ended_and_a_recycled_id_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".stemma" / "processes"
    folder.mkdir(parents=True)
    mine = subprocess.Popen(["sleep", "64.25"], start_new_session=True)
    other = subprocess.Popen(["sleep", "65.25"], start_new_session=True)
    for process, age in ((mine, 0), (other, 100)):
        record = {"name": f"group {age}", "pid": process.pid, "started": psutil.Process(process.pid).create_time() - age}
        (folder / f"{process.pid}.json").write_text(json.dumps(record))
    assert processes.end_leftovers(tmp_path) == ["group 0"]
    assert mine.wait() == -signal.SIGKILL
    assert other.poll() is None
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert list(folder.iterdir()) == []
