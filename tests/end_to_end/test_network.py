"""Everything after ingest works with the network cut, and nothing tries to reach it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import SECONDS, Project, Ran, copied, surroundings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

SEALED = Path(__file__).with_name("sealed.py")
ATTEMPT = "import socket; socket.create_connection(('telemetry.example.org', 443), timeout=1)"
STEMMA = [sys.executable, "-m", "stemma"]
COMMANDS = {
    "an attempt": [sys.executable, "-c", ATTEMPT],
    "plan": [*STEMMA, "plan", "--json"],
    "up": [*STEMMA, "up"],
    "run": [*STEMMA, "run", "--json", "-S", "finetune.sentiment.label_smoothing=0.2"],
    "predict": [*STEMMA, "predict", "sentiment", "It was wonderful.", "--format", "jsonl"],
    "generate": [*STEMMA, "generate", "decoder", "The old teacher", "--strategy", "top-p", "--seed", "1"],
    "schedule": [*STEMMA, "schedule", "0 2 1 1 *"],
    "down": [*STEMMA, "down"],
}


def seal() -> list[str]:
    """What gives a command a network of its own; skips the test where this machine allows none."""
    needed = [name for name in ("unshare", "ip", "mount") if not shutil.which(name)]
    if needed or not Path("/dev/net/tun").exists():
        pytest.skip(f"no {', '.join(needed) or '/dev/net/tun'} here")
    for command in (["unshare", "--net", "--mount"], ["unshare", "--net", "--mount", "--map-root-user"]):
        if subprocess.run([*command, sys.executable, SEALED, "[]"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("a network of its own is not permitted here")


@pytest.fixture(scope="module")
def sealed(lifecycle: tuple[Project, Ran], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What became of each of COMMANDS in a project whose network is cut, and the packets it sent."""
    prefix = seal()
    root = copied(lifecycle[0], tmp_path_factory.mktemp("sealed") / "project").root
    command = [*prefix, sys.executable, str(SEALED), json.dumps(list(COMMANDS.values()))]
    ran = subprocess.run(command, cwd=root, env=surroundings({}), capture_output=True, text=True, check=False, timeout=3 * SECONDS)
    assert ran.returncode == 0, ran.stderr
    return dict(zip(COMMANDS, json.loads(ran.stdout), strict=True))


def test_an_attempt_to_reach_the_network_would_be_seen(sealed: dict[str, dict]) -> None:
    assert any("telemetry" in packet for packet in sealed["an attempt"]["packets"])


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "an attempt"])
def test_it_works_with_the_network_cut(sealed: dict[str, dict], name: str) -> None:
    assert sealed[name]["code"] == 0, sealed[name]["err"]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "an attempt"])
def test_no_packet_leaves_the_machine(sealed: dict[str, dict], name: str) -> None:
    assert sealed[name]["packets"] == []


def test_a_run_with_the_network_cut_trains_and_registers(sealed: dict[str, dict]) -> None:
    document = json.loads(sealed["run"]["out"])
    assert {stage["name"] for stage in document["stages"] if stage["outcome"] == "ran"} == {"finetune@sentiment", "evaluate@sentiment"}
    assert {model["name"]: model["version"] for model in document["models"]}["sentiment"] == 2


def test_a_prediction_with_the_network_cut_is_a_label(sealed: dict[str, dict]) -> None:
    assert json.loads(sealed["predict"]["out"])["label"] in ("positive", "negative")
