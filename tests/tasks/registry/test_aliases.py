"""Moves of aliases: done once, recorded with who, when and why, and in the registry where a team shares it."""

from pathlib import Path

import pytest

from tasks import tracking
from tasks.registry import aliases, records
from tasks.registry.records import Version

pytestmark = pytest.mark.e2e


@pytest.fixture
def model(tracked: Path) -> Path:
    """A registry with three versions of a model, by nobody's hand yet."""
    client = tracking.connect(tracked)
    client.create_registered_model("sentiment")
    for _ in range(3):
        client.create_model_version("sentiment", str(tracked))
    return tracked


def pointing(root: Path) -> dict[str, int]:
    return {alias: int(version) for alias, version in tracking.connect(root).get_registered_model("sentiment").aliases.items()}


def version(number: int, alias: str = "champion", champion: int | None = None) -> Version:
    tags = {"stemma.alias": alias, "stemma.evidence": f'{{"champion": {champion or "null"}}}'}
    return Version("sentiment", number, (), {}, "", tags)


def test_a_move_is_recorded_with_who_when_and_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Ada")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ada@example.org")
    assert aliases.move(model, "sentiment", "champion", 1, "the first")
    assert aliases.move(model, "sentiment", "champion", 2, "better")
    assert not aliases.move(model, "sentiment", "champion", 2, "better")
    assert aliases.move(model, "sentiment", "champion", None, "not fit for use")
    moves = aliases.history(model, "sentiment")
    assert [(move.alias, move.before, move.after, move.why) for move in moves] == [
        ("champion", None, 1, "the first"),
        ("champion", 1, 2, "better"),
        ("champion", 2, None, "not fit for use"),
    ]
    assert {move.who for move in moves} == {"Ada <ada@example.org>"}
    assert moves[0].time.startswith("20")
    assert pointing(model) == {}


def test_a_move_that_was_killed_between_record_and_alias_is_recorded_once(model: Path) -> None:
    aliases.move(model, "sentiment", "champion", 1, "the first")
    tracking.connect(model).delete_registered_model_alias("sentiment", "champion")
    aliases.move(model, "sentiment", "champion", 1, "the first")
    assert len(aliases.history(model, "sentiment")) == 1
    assert pointing(model) == {"champion": 1}


def test_where_aliases_pointed_once_a_version_was_registered(model: Path) -> None:
    aliases.move(model, "sentiment", "champion", 1, "the first")
    aliases.move(model, "sentiment", "challenger", 2, "worse")
    aliases.move(model, "sentiment", "champion", 3, "better")
    aliases.move(model, "sentiment", "champion", 1, "rollback")
    assert aliases.when_registered(model, version(1)) == {"champion": 1}
    assert aliases.when_registered(model, version(2)) == {"champion": 1, "challenger": 2}
    assert aliases.when_registered(model, version(3)) == {"champion": 3, "challenger": 2}


def test_what_was_not_recorded_is_known_by_the_gate(model: Path) -> None:
    assert aliases.when_registered(model, version(2, "challenger", champion=1)) == {"champion": 1, "challenger": 2}
    assert aliases.when_registered(model, version(3, "champion", champion=1)) == {"champion": 3}


def test_a_model_that_is_not_there_has_no_history(model: Path) -> None:
    assert aliases.history(model, "qa") == []
    assert records.model_tags(model, "sentiment") == {}
