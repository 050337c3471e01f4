"""dvc, git and mlflow used by hand, before, between and after, beside things that are nobody's business."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.history import needed, run_commits
from tasks import tracking

from .conftest import APPLICATIONS, STAGES, Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]


def set_steps(project: Project, steps: int) -> None:
    file, yaml = project.root / "params.yaml", YAML()
    content = yaml.load(file)
    content["finetune"]["sentiment"]["max_steps"] = steps
    yaml.dump(content, file)


def aliases(client: Any) -> dict[str, str]:
    return dict(client.get_registered_model("sentiment").aliases)


def leave_things_about(project: Project) -> set[str]:
    """What people keep beside their code; the names of it."""
    for name, text in ((".env", "PASSWORD=1"), ("tasks/.env", "PASSWORD=1"), ("notes.txt", "mine"), ("nested/file.py", "another's")):
        (project.root / name).parent.mkdir(exist_ok=True)
        (project.root / name).write_text(text)
    for name in ("big.bin", "tests/big.bin"):
        (project.root / name).parent.mkdir(exist_ok=True)
        with (project.root / name).open("wb") as file:
            file.truncate(100 << 20)
    project.call("git", "init", "-q", "nested")
    return {".env", "big.bin", "notes.txt", "nested", "file.py"}


def test_what_is_done_by_hand_leaves_stemma_consistent(project: Project, server: dict[str, str]) -> None:
    root, client = project.root, tracking.connect(project.root)
    start = project.call("git", "branch", "--show-current").strip()
    private = leave_things_about(project)

    project.call("git", "checkout", "-q", "-b", "mine")
    project.call("git", "add", "dvc.lock", "metrics")
    project.call("git", "commit", "-qm", "by hand")
    set_steps(project, 5)
    project.call("git", "stash")
    project.call("git", "stash", "pop")
    assert "Running stage 'finetune@sentiment'" in project.dvc("repro", "finetune@sentiment")
    index = (root / ".git/index").read_bytes()
    second = project.run("--only", "evaluate@sentiment", **server)
    assert (root / ".git/index").read_bytes() == index
    assert second.outcomes["finetune@sentiment"] == "unchanged"
    assert second.outcomes["evaluate@sentiment"] == "ran"
    version = client.get_model_version("sentiment", "2")
    assert version.tags["stemma.run_commit"] == second.document["run_commit"] == run_commits.listed(root)[0].commit
    made = project.bytes_of("build")

    client.set_registered_model_alias("sentiment", "champion", "2")
    client.set_registered_model_alias("sentiment", "favourite", "1")
    client.create_registered_model("mine")
    client.delete_run(client.search_runs([tracking.experiment(client, root)], "tags.`stemma.stage` = 'finetune@qa'")[0].info.run_id)
    chosen = aliases(client)
    project.call("git", "commit", "-qam", "five steps")
    project.call("git", "checkout", "-q", start)
    project.call("git", "gc", "-q", "--prune=now")
    back = project.run(**server)
    assert set(back.outcomes.values()) <= {"restored", "unchanged"}
    assert aliases(client) == chosen
    assert project.num_rows("model_versions") == len(APPLICATIONS) + 1

    project.dvc("gc", "-A", "-f")
    project.call("git", "checkout", "-q", "-f", "mine")
    project.dvc("checkout", "--force")
    assert project.bytes_of("build") == made
    assert project.run(**server).outcomes == dict.fromkeys(STAGES, "unchanged")
    assert "up to date" in project.dvc("status")
    assert "Running stage" not in project.dvc("repro")
    assert aliases(client) == chosen

    for run in run_commits.listed(root):
        names = project.call("git", "ls-tree", "-r", "--name-only", run.commit).split()
        assert not private & {part for name in names for part in Path(name).parts}
        assert not needed.whole(needed.cache(root), needed.of_commits(root, [run.commit]))[1]
