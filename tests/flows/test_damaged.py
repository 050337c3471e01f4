"""Damaged inputs give rows, refused rows with a reason, or one line: never a traceback, never a lost row, in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("damaged.py")
PEAK = 700  # mebibytes: the interpreter with pyarrow and lxml, and what is held of one input


def run(seed, count):
    ended = subprocess.run([sys.executable, SCRIPT, str(seed), str(count)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert sum(found["outcomes"].values()) == count
    assert found["peak_mebibytes"] < PEAK
    return found


def test_hundreds_of_damaged_inputs():
    found = run(seed=7, count=300)
    assert set(found["outcomes"]) == {"all rows", "refused some", "no rows", "one line"}  # the damage is neither too mild nor too great


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_damaged_inputs():
    run(seed=11, count=10_000)
