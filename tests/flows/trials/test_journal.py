"""What is remembered of a study, whatever moment its command was killed at."""

from pathlib import Path

import pytest

from flows.trials import journal
from flows.trials.journal import Journal
from flows.trials.proposals import Ended
from model.errors import UserError

TRIAL = Ended(1, {"x": 0.1, "kind": "激"}, "stopped", None, {10: 0.5, 20: 0.75}, 1.5, "key", "at step 20")


def test_a_later_reader_has_what_was_written(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.propose(0, [{"x": 1}, {"x": 0.1, "kind": "激"}])
    first.end(TRIAL)
    for one in (first, Journal(tmp_path)):
        assert one.proposed == {0: [{"x": 1}, {"x": 0.1, "kind": "激"}]}
        assert one.ended == {1: TRIAL}
        assert one.before(1) == []
        assert one.before(2) == [TRIAL]


def test_a_kill_while_writing_costs_the_unfinished_line_alone(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.propose(0, [{"x": 1}])
    before = (tmp_path / "journal.jsonl").read_bytes()
    first.end(TRIAL)
    whole = (tmp_path / "journal.jsonl").read_bytes()
    for cut in range(len(before), len(whole)):
        (tmp_path / "journal.jsonl").write_bytes(whole[:cut])
        again = Journal(tmp_path)
        assert (again.proposed, again.ended) == ({0: [{"x": 1}]}, {})
    again.end(TRIAL)
    assert (tmp_path / "journal.jsonl").read_bytes() == whole


def test_two_commands_do_not_work_on_one_study(tmp_path: Path) -> None:
    with (
        journal.opened(tmp_path, "finetune@sentiment", "abc"),
        pytest.raises(UserError, match="finetune@sentiment: another `stemma tune` is at work on the same study; wait"),
        journal.opened(tmp_path, "finetune@sentiment", "abc"),
    ):
        pass
    with journal.opened(tmp_path, "finetune@sentiment", "abc") as again:
        assert not again.ended
