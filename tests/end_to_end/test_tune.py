"""`stemma tune` and `stemma ablate` on the real stages and a tiny corpus."""

import pytest

from .conftest import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

TUNED = "finetune@sentiment"


def test_tuned_numbers_are_written_and_restored_and_every_trial_is_a_run_below_the_study(project: Project, server: dict[str, str]) -> None:
    from tasks import tracking

    told = project.stemma("tune", TUNED, "--trials", "5", "--yes", "--json", **server)
    assert told.code == 0, told
    [study] = told.document["studies"]
    losses = [trial["value"] for trial in study["trials"] if trial["value"] is not None]
    assert study["trials"][study["best"]]["value"] == min(losses) <= study["trials"][0]["value"]

    client = tracking.connect(project.root)
    where = [tracking.experiment(client, project.root)]
    [parent] = client.search_runs(where, f"tags.`stemma.study` = '{study['study']}'")
    assert parent.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {"history.png", "importance.png", "trials.md"}
    trials = client.search_runs(where, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and tags.`stemma.trial` LIKE 'trial %'")
    assert sorted(run.data.tags["stemma.trial"] for run in trials) == [f"trial {number}" for number in range(5)]

    again = project.stemma("tune", TUNED, "--trials", "5", "--json", **server)
    assert (again.document["studies"], again.document["diff"]) == ([study], "")
    if told.document["written"]:
        assert project.run(**server).outcomes[TUNED] == "restored"


def test_an_ablation_trains_each_variant_once_and_gives_differences_with_intervals(project: Project, server: dict[str, str]) -> None:
    text = (project.root / "params.yaml").read_text(encoding="utf-8")
    head, _, rest = text.partition("\nablate:")
    few = "\nablate:\n  no dropout: {dropout: 0.0}\n  no such rate: {learning_rate: -1.0}\n"
    (project.root / "params.yaml").write_text(head + few + rest[rest.index("\nevaluate:") :], encoding="utf-8")
    told = project.stemma("ablate", "sentiment", "--seeds", "2", "--json", **server)
    assert told.code == 0, told
    present, without, refused = told.document["rows"]
    assert len(present["losses"]) == len(without["losses"]) == 2
    differences = [one - other for one, other in zip(without["losses"], present["losses"], strict=True)]
    assert without["difference"] == pytest.approx(sum(differences) / 2)
    assert without["low"] <= without["difference"] <= without["high"]
    assert "learning_rate" in refused["reason"]
    table = project.stemma("ablate", "sentiment", "--seeds", "2", "--markdown", **server)
    assert "| no dropout | dropout 0.0 |" in table.out
    assert "running" not in table.err  # all of it was known
