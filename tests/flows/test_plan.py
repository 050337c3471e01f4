import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import environment, stages
from flows import plan as planning
from flows.decision import State
from flows.plan import StagePlan
from flows.processes import Pack
from flows.walk import LifecycleResult
from model.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
Walked = Callable[..., LifecycleResult]
Change = Callable[..., None]


def planned(project: Path, params: str | None = None) -> dict[str, tuple[str, list[str]]]:
    return {stage.name: (stage.state, stage.reasons) for stage in planning.plan(project, params)}


FRESH = dict.fromkeys(["seed", "part@a", "part@b", "part@c", "whole"], ("fresh", []))


@pytest.mark.e2e
def test_a_plan_says_exactly_what_changed_and_what_follows(finished: Path, walked: Walked, change: Change) -> None:
    assert planned(finished) == FRESH
    change("word: aa", "word: xx")
    assert planned(finished) == {
        **FRESH,
        "part@a": ("stale", ["the command changed", 'parts.a.word: "aa" -> "xx"']),
        "whole": ("stale", ["build/part/a will be made again by part@a"]),
    }
    walked()
    change("word: xx", "word: aa")
    assert planned(finished) == {
        **FRESH,
        "part@a": ("restorable", ["the command changed", 'parts.a.word: "xx" -> "aa"']),
        "whole": ("restorable", ["build/part/a changed"]),
    }


def test_a_plan_for_other_numbers_writes_nothing(finished: Path, walked: Walked) -> None:
    text = (finished / "params.yaml").read_text()
    found = planned(finished, text.replace("seed: s", "seed: z"))
    assert found["seed"] == ("stale", ["the command changed", 'letters.seed: "s" -> "z"'])
    assert found["whole"][0] == "stale"
    assert (finished / "params.yaml").read_text() == text
    assert planned(finished) == FRESH


def test_missing_outputs_are_restorable_all_the_way_down(finished: Path, walked: Walked) -> None:
    shutil.rmtree(finished / "build")
    assert {state for state, _ in planned(finished).values()} == {"restorable"}
    assert planned(finished)["seed"] == ("restorable", ["build/seed is missing"])


@pytest.mark.e2e
def test_a_changed_file_of_the_data_is_named(finished: Path, walked: Walked) -> None:
    (finished / "data" / "words.txt").write_text("three\n")
    (finished / "data" / "more.txt").write_text("four\n")
    with pytest.raises(UserError, match=r"data: not the files of data\.dvc"):
        planning.plan(finished)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], cwd=finished, check=True)
    assert planned(finished)["seed"] == ("stale", ["data/more.txt is new", "data/words.txt changed"])


def test_seconds_are_those_of_the_last_time(finished: Path, walked: Walked, change: Change) -> None:
    change("seed: s", "seed: z")
    seconds = {stage.name: stage.seconds for stage in planning.plan(finished)}
    assert seconds["seed"] == planning.recorded_seconds(finished)["seed"] > 0


def test_a_line_that_a_full_disk_has_cut_takes_only_its_neighbour_along(tmp_path: Path) -> None:
    (tmp_path / ".stemma").mkdir()
    lines = '{"stage": "seed", "seconds": 1.5}\n{"stage": "who{"stage": "whole", "seconds": 2}\n{"stage": "part@a", "seconds": 3}\n'
    (tmp_path / ".stemma" / "seconds.jsonl").write_text(lines)
    assert planning.recorded_seconds(tmp_path) == {"seed": 1.5, "part@a": 3}


def test_a_summary_counts_what_would_run_and_adds_up_what_that_took() -> None:
    def told(*stages: tuple[State, float | None]) -> str:
        return planning.summary([StagePlan("one", state, [], seconds) for state, seconds in stages])

    assert told(("fresh", None)) == "0 of 1 stages would run"
    assert told(("restorable", None), ("stale", 40.2), ("stale", 1.6), ("stale", None)) == (
        "3 of 4 stages would run; 1 would be restored; 42 s of work, as long as they took the last time; 1 not yet timed here"
    )


def test_a_missing_parameter_is_named(project: Path, change: Change) -> None:
    change("seconds: 0", "")
    with pytest.raises(UserError, match="seconds"):
        planning.plan(project)


def test_a_plan_loads_no_heavy_library(project: Path) -> None:
    heavy = ["torch", "transformers", "mlflow", "prefect", "pandas", "pyarrow"]
    code = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from flows.plan import plan
assert plan(Path({str(project)!r}))
print([name for name in {heavy} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.fixture
def coded(project: Path) -> Path:
    """A project whose stages depend on fingerprints of our own code."""
    for folder in ("tasks", "model"):
        shutil.copytree(REPOSITORY / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "dvc.yaml").write_text("""
stages:
  code:
    cmd: python -m tasks code tasks model .stemma/environment.json build/code
    deps: [tasks, model, .stemma/environment.json]
    outs: [build/code]
  pretrain:
    cmd: mkdir -p build; echo trained > build/pretrain; true --code build/code/pretrain.json
    deps: [build/code/pretrain.json]
    outs: [build/pretrain]
  tokenizer:
    cmd: mkdir -p build; echo tokens > build/tokenizer; true --code build/code/tokenizer.json
    deps: [build/code/tokenizer.json]
    outs: [build/tokenizer]
""")
    environment.record(project)
    for name in ("code", "pretrain", "tokenizer"):
        assert stages.bring_up_to_date(Pack(project), name, lambda *_: {}).outcome == "ran"
    return project


def by_name(project: Path) -> dict[str, StagePlan]:
    return {stage.name: stage for stage in planning.plan(project)}


@pytest.mark.e2e
def test_a_comment_makes_only_the_fingerprints_again_and_a_constant_names_its_function(coded: Path) -> None:
    training = coded / "model" / "training.py"
    text = training.read_text()
    training.write_text(text + "\n# a comment\n")
    found = by_name(coded)
    assert found["code"].state == "stale"
    assert found["pretrain"].state == found["tokenizer"].state == "fresh"

    start = text.index("def train(")
    training.write_text(text[:start] + text[start:].replace("\n    return ", "\n    another = 1\n    return ", 1))
    found = by_name(coded)
    assert found["pretrain"].state == "stale"
    assert any("model.training" in reason for reason in found["pretrain"].reasons)
    assert found["tokenizer"].state == "fresh"


@pytest.mark.e2e
def test_another_version_of_a_library_is_named_where_it_is_used(coded: Path) -> None:
    file = coded / ".stemma" / "environment.json"
    version = environment.installed()["tokenizers"]
    file.write_text(file.read_text().replace(f'"tokenizers": "{version}"', '"tokenizers": "0.1"'))
    found = by_name(coded)
    assert f"tokenizers {version} -> 0.1" in found["tokenizer"].reasons
    text = file.read_text().replace('"tokenizers": "0.1"', f'"tokenizers": "{version}"')
    file.write_text(text.replace(f'"mlflow": "{environment.installed()["mlflow"]}"', '"mlflow": "0.1"'))
    found = by_name(coded)
    assert found["code"].state == "stale"
    assert found["tokenizer"].state == found["pretrain"].state == "fresh"


@pytest.mark.e2e
def test_the_fingerprints_of_a_plan_are_those_of_the_stage(coded: Path) -> None:
    training = coded / "model" / "training.py"
    training.write_text(training.read_text() + "\nANOTHER = 1\n")
    expected = by_name(coded)["pretrain"]
    assert stages.bring_up_to_date(Pack(coded), "code", lambda *_: {}).outcome == "ran"
    assert by_name(coded)["pretrain"] == expected
