"""sources.yaml: what it pins, and the one line for each mistake in it."""

from pathlib import Path

import pytest

from model import applications
from model.errors import UserError
from tasks import readers
from tasks.intake import sources

PROJECT = Path(__file__).parents[3]

GOOD = """
archives:
  talks: {package: talks, version: 1.0.0, kind: wheel, sha256: %s}
sources:
  speeches: {archive: talks, files: [a/*.txt], license: MIT, target: corpus, reader: text, options: {max_characters: 100}}
  spare: {archive: talks, files: [b.txt], license: MIT, target: corpus, reader: text, optional: true}
""" % ("a" * 64)


def written(folder, old="", new=""):
    assert old in GOOD
    (folder / "sources.yaml").write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    return folder / "sources.yaml"


def test_the_shipped_sources_name_readers_and_applications_there_are():
    found = sources.read(PROJECT / "sources.yaml")
    for source in found.sources.values():
        assert source.reader is None or source.reader in readers.names()
        assert source.target == "corpus" or source.target.startswith("pretrained/") or source.target in applications.names()
    assert {source.target for source in sources.choose(found, []).values()} == {"corpus", *applications.names()}
    assert found.sources["synthetic-srl"].synthetic


def test_optional_sources_come_only_when_they_are_named(tmp_path):
    found = sources.read(written(tmp_path))
    assert list(sources.choose(found, [])) == ["speeches"]
    assert list(sources.choose(found, ["spare"])) == ["speeches", "spare"]
    with pytest.raises(UserError, match=r"^sources\.yaml: tales: no such source; there is speeches, spare$"):
        sources.choose(found, ["tales"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: wheel", "kind: egg", r"^sources\.yaml: archives\.talks\.kind: input should be 'wheel' or 'sdist'; "),
        ("sha256: a", "sha256: x", r"^sources\.yaml: archives\.talks\.sha256: "),
        ("license: MIT, ", "", r"^sources\.yaml: sources\.speeches\.license: "),
        ("reader: text, options", "reder: text, options", r"^sources\.yaml: sources\.speeches\.reder: "),
        ("archive: talks", "archive: tales", r"^sources\.yaml: speeches\.archive: no such archive tales; there is talks$"),
        ("archive: talks", "archive: talks, path: x", r"^sources\.yaml: speeches: both archive and path; "),
        ("files: [a/*.txt], ", "", r"^sources\.yaml: speeches\.files: missing; "),
        ("reader: text, options: {max_characters: 100}", "options: {}", r"^sources\.yaml: speeches\.reader: missing; "),
        ("archives:", "archives: [", r"^sources\.yaml: not valid YAML "),
    ],
)
def test_a_mistake_in_it_is_one_line_that_names_the_key(tmp_path, old, new, message):
    with pytest.raises(UserError, match=message) as found:
        sources.read(written(tmp_path, old, new))
    assert "\n" not in str(found.value)
