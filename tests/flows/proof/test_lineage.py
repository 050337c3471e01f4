"""From a version's tags alone: what made it, in order, and what that was made from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.proof import lineage
from model.errors import UserError
from tasks.registry.records import Version

Registered = Callable[..., Version]


def test_a_version_is_traced_down_to_its_data(finished: Path, registered: Registered) -> None:
    chain = lineage.of_version(finished, registered({"stemma.params.whole": '{"word": "w"}'}))
    assert [link.stage for link in chain.links] == ["whole", "part@b", "part@a", "seed"]
    assert {link.stage: link.needs for link in chain.links} == {
        "whole": ("part@a", "part@b"),
        "part@b": ("seed",),
        "part@a": ("seed",),
        "seed": ("data",),
    }
    assert chain.data_version.endswith(".dir")
    assert chain.links[0].params == {"word": "w"}


def test_the_rows_for_people_name_every_hash(finished: Path, registered: Registered) -> None:
    chain = lineage.of_version(finished, registered())
    shown = {row[2] for row in chain.rows()}
    assert {link.hash for link in chain.links} <= shown
    assert {chain.checkpoint, chain.data_version, "5d7c" * 16} <= shown


def test_a_source_says_its_licence_and_whether_it_is_made_up(finished: Path, registered: Registered) -> None:
    rows = {row[1]: row[3] for row in lineage.of_version(finished, registered()).rows()}
    assert rows["vader"] == "MIT; for sentiment"
    assert rows["grammar"] == "synthetic, Apache-2.0; for srl"


def test_a_version_that_was_registered_without_lineage_is_one_line(finished: Path, registered: Registered) -> None:
    version = registered()
    del version.tags["stemma.lock"]
    with pytest.raises(UserError, match="sentiment/1: registered without its lineage; `stemma run` registers"):
        lineage.of_version(finished, version)


def test_a_state_that_is_no_model_says_which_models_there_are(finished: Path) -> None:
    with pytest.raises(UserError, match=r"HEAD: revision \w+, and no model version; give one, such as sentiment/1; registered is none"):
        lineage.lineage(finished, "HEAD")
