"""What `stemma run` looks at before it waits for anybody."""

from pathlib import Path

import pytest

from flows import running, workspace
from model.errors import UserError


def test_a_stage_that_there_is_not_is_named_while_another_run_is_at_work(project: Path) -> None:
    with workspace.lifecycle_lock(project), pytest.raises(UserError, match="parts: no such stage; there is seed, part@a"):
        running.check(project, ["parts"], None)


def test_a_stage_that_new_numbers_make_is_known(project: Path) -> None:
    numbers = (project / "params.yaml").read_text(encoding="utf-8") + "  d:\n    word: dd\n"
    running.check(project, ["part@d"], numbers)
    with pytest.raises(UserError, match="part@d: no such stage"):
        running.check(project, ["part@d"], None)
