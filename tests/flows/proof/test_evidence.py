"""Hashes are computed from bytes, whatever DVC or a file's mode says."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows.history import objects
from flows.history.objects import Objects
from flows.proof import evidence, lineage
from flows.proof.lineage import Lineage
from tasks.registry.records import Version

from ..conftest import commit


@pytest.fixture
def chain(finished: Path, registered: Callable[..., Version]) -> Lineage:
    return lineage.of_version(finished, registered())


@pytest.fixture
def found(finished: Path) -> Iterator[Objects]:
    with objects.opened(finished) as there:
        yield there


def damage(file: Path) -> None:
    """Other bytes, and the mode by which DVC takes an object for good."""
    file.chmod(0o644)
    file.write_bytes(b"other bytes")
    file.chmod(0o444)


def test_what_is_stored_is_the_same(chain: Lineage, found: Objects) -> None:
    assert {evidence.stored(link.stage, md5, found).state for link in chain.links for md5 in link.outs.values()} == {"same"}
    assert evidence.stored("data version", chain.data_version, found).detail == "1 file, 0.0 MB"


def test_a_tampered_object_differs_and_is_named(chain: Lineage, found: Objects) -> None:
    damage(found.local(found.listing(chain.data_version)["words.txt"]))
    finding = evidence.stored("data version", chain.data_version, found)
    assert (finding.state, finding.detail) == ("differs", "in the DVC cache words.txt has other bytes")


def test_a_tampered_listing_differs(chain: Lineage, found: Objects) -> None:
    damage(found.local(chain.data_version))
    assert evidence.stored("data version", chain.data_version, found).state == "differs"


def test_what_the_cache_lacks_is_not_at_hand(chain: Lineage, found: Objects) -> None:
    found.local(chain.data_version).unlink()
    finding = evidence.stored("data version", chain.data_version, found)
    assert (finding.state, finding.detail) == ("not at hand", f"the DVC cache lacks {chain.data_version}")


def test_a_source_is_compared_with_its_pin(finished: Path, chain: Lineage) -> None:
    source = chain.sources["vader"]
    kept = finished / ".stemma/downloads" / source["sha256"]
    assert [one.state for one in evidence.pinned(finished, "vader", source)] == ["not at hand"]
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"not what was pinned")
    assert [one.state for one in evidence.pinned(finished, "vader", source)] == ["differs"]


def test_a_commit_that_names_other_outputs_differs(finished: Path, chain: Lineage) -> None:
    assert evidence.run_commit(finished, chain).state == "not at hand"
    made = commit(finished, "a run")
    there = replace(chain, run_commit=made)
    assert evidence.run_commit(finished, there).state == "same"
    (finished / "dvc.lock").write_text("stages: {}\n")
    there = replace(chain, run_commit=commit(finished, "another run"))
    finding = evidence.run_commit(finished, there)
    assert finding.state == "differs"
    assert finding.detail.startswith("dvc.lock does not name the outputs of whole build/whole, whole build/whole.json, part@b build/part/b")


def test_a_number_that_the_commit_has_otherwise_is_named(chain: Lineage) -> None:
    link = replace(chain.links[0], stage="pretrain@encoder", params={"seed": 1, "max_steps": 6})
    sections = {"training": {"seed": 2}, "pretrain": {"encoder": {"max_steps": 6}}}
    assert [*evidence.changed_params(sections, link)] == ["params.yaml: seed of pretrain@encoder was 1, is 2 in the run commit"]
