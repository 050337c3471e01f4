"""The real frame files of PropBank: each is read or refused by name, and what is read agrees with a count made here in another way."""

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from model import applications
from tasks.readers import Refused, read

PROJECT = Path(__file__).parents[3]
PLACES = [PROJECT.parent / "shared", PROJECT / "shared"]
FRAMES = next((place / "data/propbank-frames/frames" for place in PLACES if (place / "data/propbank-frames").is_dir()), None)

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(FRAMES is None, reason="no PropBank frame files beside the project (../shared/data/propbank-frames)"),
]


def counted(file):
    """Propositions, tokens and argument spans of a file by the places its XML names, and how many propositions are not sound."""
    totals = Counter()
    for example in ElementTree.parse(file).getroot().findall(".//example"):
        words = re.findall(r"\S+", example.find("text").text or "")
        for proposition in example.iterfind("propbank"):
            spans = argument_spans(words, proposition)
            totals.update({"unsound": 1} if spans is None else {"propositions": 1, "tokens": len(words), "spans": spans})
    return totals


def argument_spans(words, proposition):
    """How many arguments a proposition has, or None where a part stands nowhere, elsewhere than it says, or over another."""
    taken = set()
    for part in ("rel", "arg"):
        found = proposition.findall(part)
        if part == "rel" and not found:
            return None
        for element in found[:1] if part == "rel" else found:
            places = (element.get("relloc") or "?").split(" ") if part == "rel" else [element.get("start"), element.get("end")]
            if not all(re.fullmatch("[0-9]+", place or "") for place in places):
                return None
            numbers = [int(place) for place in places]
            covered = numbers if part == "rel" else list(range(numbers[0], numbers[1] + 1))
            if not covered or max(covered) >= len(words) or taken & set(covered) or len(set(covered)) < len(covered):
                return None
            if " ".join(words[place] for place in covered) != " ".join(re.findall(r"\S+", element.text or "")):
                return None
            taken |= set(covered)
    return len(proposition.findall("arg"))


@pytest.fixture(scope="module")
def files():
    return sorted(FRAMES.glob("*.xml"))


def test_token_and_span_counts_agree_with_a_count_of_another_kind(files):
    assert len(files) == 2343
    srl = applications.load("srl")
    found, expected = Counter(), Counter()
    for file in files:
        expected.update(counted(file))
        rows = list(read("propbank", [file], {}))
        assert rows, file.name
        for row in rows:
            if isinstance(row, Refused):
                assert row.where.startswith(file.name)
                found.update({"unsound": row.counts})
            else:
                assert srl.refuse(row) is None
                spans = sum(tag.startswith("B-") and tag not in ("B-V", "B-C-V") for tag in row["tags"])
                found.update({"propositions": 1, "tokens": len(row["tokens"]), "spans": spans})
    assert found == expected
    assert (found["propositions"], found["unsound"]) == (7074, 110)
