"""Checkpoints become versions, which predict wherever they are loaded."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from model import applications
from model.errors import UserError
from tasks import register, tracking
from tasks.registry import aliases, records
from tasks.registry.identity import hash_of

REPOSITORY = Path(__file__).parents[2]
Make = Callable[..., Path]


def test_before_the_first_run_there_are_no_versions_and_no_database_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert records.versions(tmp_path) == []
    with pytest.raises(UserError, match="sentiment@champion: none is registered yet; `stemma run` does that"):
        register.load(tmp_path, "sentiment")
    assert not (tmp_path / ".stemma").exists()


@pytest.mark.e2e
def test_a_checkpoint_is_registered_once_with_where_it_came_from(tracked: Path, fine_tuned: Make, judged: Make, monkeypatch) -> None:
    run_id = tracking.sync(tracked, "finetune@sentiment", "key1", None, {}, tracked / "none.json", fine_tuned("sentiment"))
    lineage = {"data_version": "d41d", "run_commit": "c0ffee", "key.finetune@sentiment": "key1"}
    first = register.register(tracked, "sentiment", fine_tuned("sentiment"), judged("sentiment", 0.5), lineage)
    assert (first.name, first.version, first.aliases, first.created) == ("sentiment", 1, ("champion",), True)
    assert first.metrics == {"accuracy": 0.5}
    again = register.register(tracked, "sentiment", fine_tuned("sentiment"), judged("sentiment", 0.1), lineage)
    assert (again.version, again.aliases, again.created) == (1, ("champion",), False)

    [version] = records.versions(tracked)
    assert (
        version.tags.items()
        >= {"stemma.data_version": "d41d", "stemma.run_commit": "c0ffee", "stemma.key.finetune.sentiment": "key1"}.items()
    )
    assert version.tags["stemma.checkpoint"] == hash_of(fine_tuned("sentiment"))
    assert json.loads(version.tags["stemma.evidence"])["new"] == {"value": 0.5, "evaluation": "same rows"}
    assert version.to_json().keys() >= {"name", "version", "aliases", "metrics"}

    client = tracking.connect(tracked)
    assert client.get_model_version("sentiment", "1").run_id == run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri(tracked))  # MLflow looks for the models of a run there
    assert "sentiment/MLmodel" in {file.path for file in client.list_artifacts(run_id, "sentiment")}


@pytest.mark.e2e
def test_the_alias_moves_to_a_version_that_is_not_worse_and_stays_where_a_person_put_it(
    tracked: Path, fine_tuned: Make, judged: Make
) -> None:
    for seed, value in ((1, 0.5), (2, 0.4), (3, 0.5)):
        register.register(tracked, "sentiment", fine_tuned("sentiment", seed), judged("sentiment", value), {})
    assert {version.version: version.aliases for version in records.versions(tracked)} == {1: (), 2: ("challenger",), 3: ("champion",)}
    tracking.connect(tracked).set_registered_model_alias("sentiment", "champion", "1")
    again = register.register(tracked, "sentiment", fine_tuned("sentiment", 3), judged("sentiment", 0.5), {})
    assert (again.version, again.aliases) == (3, ())


@pytest.mark.e2e
def test_on_another_evaluation_set_the_champion_is_evaluated_first(tracked: Path, fine_tuned: Make, judged: Make) -> None:
    register.register(tracked, "qa", fine_tuned("qa", 1), judged("qa", 0.9), {})
    second = register.register(tracked, "qa", fine_tuned("qa", 2), judged("qa", 0.5, "other rows"), {})
    assert second.aliases == ("champion",)  # the first has learned nothing, so whatever it once scored it scores less here
    assert "on the new evaluation set, on which it was evaluated again" in second.decision


@pytest.mark.e2e
def test_an_alias_that_a_dead_process_did_not_set_is_set_by_the_next(tracked: Path, fine_tuned: Make, judged: Make) -> None:
    register.register(tracked, "sentiment", fine_tuned("sentiment"), judged("sentiment", 0.5), {})
    client = tracking.connect(tracked)
    client.delete_registered_model_alias("sentiment", "champion")
    client.delete_model_version_tag("sentiment", "1", "stemma.registered")
    again = register.register(tracked, "sentiment", fine_tuned("sentiment"), judged("sentiment", 0.5), {})
    assert (again.version, again.aliases, again.created) == (1, ("champion",), False)


@pytest.mark.e2e
def test_a_server_that_does_not_answer_is_named(tracked: Path, free_port: int, fine_tuned: Make, judged: Make, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:secret@127.0.0.1:{free_port}")
    with pytest.raises(tracking.TrackingError, match=f"MLflow at http://127.0.0.1:{free_port}: no server answers there"):
        register.register(tracked, "sentiment", fine_tuned("sentiment"), judged("sentiment", 0.5), {})


@pytest.mark.e2e
def test_through_a_server_versions_are_registered_and_loaded_and_aliases_moved_too(
    tracked: Path, free_port: int, mlflow_server, fine_tuned: Make, judged: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pandas import DataFrame

    address = f"http://127.0.0.1:{free_port}"
    with pytest.raises(tracking.TrackingError, match=f"{address}: .*refused"):
        aliases.registry(tracked, address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with mlflow_server(tracked, free_port):
        made = register.register(tracked, "sentiment", fine_tuned("sentiment"), judged("sentiment", 0.5), {"data_version": "d41d"})
        assert (made.version, made.aliases) == (1, ("champion",))
        predicted = register.load(tracked, "sentiment").predict(DataFrame([{"text": "good"}]))
        assert predicted["label"][0] in ("negative", "positive")
        assert elsewhere(tracked, tracked.parent, PREDICTS.replace("NAMES", "['sentiment']")) == {"sentiment": ["label", "probability"]}
        monkeypatch.delenv("MLFLOW_TRACKING_URI")  # as `stemma up` serves this machine's database
        server = aliases.registry(tracked, address)
        aliases.move(tracked, "sentiment", "favourite", 1, "第一", server)
        aliases.move(tracked, "sentiment", "challenger", 1, "worse", server)
        aliases.move(tracked, "sentiment", "challenger", None, "rollback", server)
        with pytest.raises(tracking.TrackingError, match="404"):
            aliases.move(tracked, "qa", "champion", 1, "no such model", server)
        assert {*tracking.connect(tracked).get_registered_model("sentiment").aliases} == {"champion", "favourite"}
        moves = {(move.alias, move.after, move.why) for move in aliases.history(tracked, "sentiment")}
        assert {("favourite", 1, "第一"), ("challenger", None, "rollback")} <= moves
    assert (tracked / ".stemma/mlflow/served").is_dir()


PREDICTS = """
import json, sys
import mlflow, pandas
told = {}
for name in NAMES:
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    told[name] = list(model.predict(model.input_example))
assert not [name for name in sys.modules if name.partition(".")[0] in ("tasks", "flows")]
print(json.dumps(told))
"""


def elsewhere(root: Path, folder: Path, script: str) -> object:
    """What `script` prints as JSON in a process in `folder` that knows the tracking server and nothing else of ours."""
    settings = {"MLFLOW_TRACKING_URI": tracking.uri(root), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "DO_NOT_TRACK": "true"}
    ended = subprocess.run([sys.executable, "-I", "-c", script], cwd=folder, env=os.environ | settings, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.e2e
def test_all_five_predict_in_a_process_that_has_never_heard_of_us(tracked: Path, tmp_path: Path, fine_tuned: Make, judged: Make) -> None:
    for name in applications.names():
        register.register(tracked, name, fine_tuned(name), judged(name, 0.5), {})
    for file in (tracked / ".stemma/mlflow/artifacts").rglob("*"):
        assert file.suffix not in (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib")
        assert not file.is_file() or file.read_bytes()[:1] != b"\x80"  # how every pickle begins
    script = PREDICTS.replace("NAMES", repr(applications.names()))
    told = elsewhere(tracked, tmp_path, script)
    assert told == {
        "qa": ["answer", "score"],
        "sentiment": ["label", "probability"],
        "srl": ["tags", "roles"],
        "summarization": ["summary"],
        "translation": ["translation"],
    }
    for name in ("model", "tasks"):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "__init__.py").write_text("MINE = True\n")
    own = f"import sys; sys.path.insert(0, {str(tmp_path / 'own')!r})\nimport model, tasks; del sys.modules['tasks']\n"
    assert elsewhere(tracked, tmp_path, own + script + "import model as mine; assert mine.MINE\n") == told


SHOUTS = """
import sys
from pathlib import Path
from tasks import register
print(register.register(Path(sys.argv[1]), "sentiment", Path(sys.argv[2]), Path(sys.argv[3]), {}))
"""
BOTH = """
import json, mlflow, pandas
texts = pandas.DataFrame({"text": ["good", "bad"]})
told = [list(mlflow.pyfunc.load_model(f"models:/sentiment/{version}").predict(texts)["label"]) for version in (1, 2, 1)]
print(json.dumps(told))
"""


@pytest.mark.e2e
def test_two_versions_of_different_code_work_in_one_process(tracked: Path, tmp_path: Path, fine_tuned: Make, judged: Make) -> None:
    register.register(tracked, "sentiment", fine_tuned("sentiment", 1), judged("sentiment", 0.5), {})
    changed = tmp_path / "changed"
    for package in ("model", "tasks"):
        shutil.copytree(REPOSITORY / package, changed / package, ignore=shutil.ignore_patterns("__pycache__"))
    code = changed / "model/classification.py"
    code.write_text(code.read_text().replace('{"label": names[best]', '{"label": names[best].upper()'))
    arguments = [str(tracked), str(fine_tuned("sentiment", 2)), str(judged("sentiment", 0.5))]
    ended = subprocess.run([sys.executable, "-c", SHOUTS, *arguments], cwd=changed, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    first, second, third = elsewhere(tracked, tmp_path, BOTH)
    assert first == third == [label.lower() for label in first]
    assert second == [label.upper() for label in second]
