"""The family tree is drawn in the page itself."""

import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flows.proof import lineage
from flows.proof import page as lineage_page
from flows.proof.evidence import Finding
from flows.proof.lineage import Lineage
from model.errors import UserError
from tasks.registry.records import Version


@pytest.fixture
def chain(finished: Path, registered: Callable[..., Version]) -> Lineage:
    return lineage.of_version(finished, registered())


def drawn(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", page, re.DOTALL)[0])


def test_every_stage_and_source_has_a_box_and_needs_no_network(chain: Lineage, tmp_path: Path) -> None:
    lineage_page.write(tmp_path / "page.html", chain)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    names = {text.text for text in drawn(page).iter("text")}
    assert {link.stage for link in chain.links} | set(chain.sources) | {"sentiment/1 (champion)", "data"} <= names
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", page)


def test_what_a_check_found_is_marked(chain: Lineage, tmp_path: Path) -> None:
    lineage_page.write(tmp_path / "page.html", chain, [Finding("data version", "differs", "data/a.parquet has other bytes")])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert [text.text for text in drawn(page).iter("text") if text.get("class") == "differs"] == ["differs"]
    assert "data/a.parquet has other bytes" in page


def test_names_that_look_like_markup_stay_text(finished: Path, registered: Callable[..., Version], tmp_path: Path) -> None:
    version = registered(sources={"<script>": {"target": "qa", "license": "<b>", "sha256": None, "synthetic": False}})
    lineage_page.write(tmp_path / "page.html", lineage.of_version(finished, version))
    assert "<script>" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_one_line(chain: Lineage, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^--page .*/nowhere/page\.html: No such file or directory; name a file in a folder that is there$"
    ):
        lineage_page.write(tmp_path / "nowhere/page.html", chain)
