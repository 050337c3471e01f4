"""`stemma ingest SRC --to TARGET`: a source, a data version and a commit, or nothing at all."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from flows.data import archives
from flows.data import versions as data_versions
from flows.data.additions import Wish, add, columns, options
from flows.data.ingest import ingest
from flows.proof import ancestry
from model.errors import UserError

from .conftest import SOURCES, git, own_data, reviews, taken_in, texts

pytestmark = pytest.mark.e2e  # data versions of a real DVC and git repository

ARCHIVED = f"""
archives: {{talks: {{package: talks, version: "1.0", kind: wheel, sha256: {"a" * 64}}}}}
sources:
  talks: {{archive: talks, files: [talks/*.jsonl], license: MIT, target: sentiment, reader: jsonl}}
"""
PROJECT = Path(__file__).parents[3]


def test_reviews_become_a_source_a_version_and_a_commit_of_two_files(root):
    (root / "staged.txt").write_text("the user's own work", encoding="utf-8")
    git(root, "add", "staged.txt")
    (root / "reviews.jsonl").write_bytes(reviews(0, 60) + b'{"review": 3, "label": "good"}\n')
    added = taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"}, license="MIT")
    assert (added.name, added.source.reader, added.source.uri) == ("reviews", "jsonl", "reviews.jsonl")
    assert len(texts(root)) == 60
    assert "1 rows refused" in added.summary()
    assert "1 times: text: expected str, got 3" in added.summary()
    assert git(root, "show", "--name-only", "--format=%s%n%an", "HEAD").split("\n")[:5] == [
        "Ingest reviews into sentiment, now 60 rows",
        "Stemma",
        "",
        "data.dvc",
        "sources.yaml",
    ]
    assert git(root, "status", "--porcelain", "--untracked-files=no") == "A  staged.txt\n"
    assert (root / "sources.yaml").read_text(encoding="utf-8").startswith(SOURCES.rstrip())


def test_the_same_again_changes_nothing_and_sources_yaml_gives_the_same_version(root):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    first = taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    again = taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    assert (again.report.changed, again.commit, again.name) == (False, None, "reviews")
    for lost in ("data", ".dvc/cache"):
        shutil.rmtree(root / lost)
    (root / "reviews.jsonl").unlink()
    assert ingest(root, say=lambda line: None).version == first.report.version


def test_more_of_the_same_is_appended_as_if_all_had_come_at_once(root):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    (root / "reviews.jsonl").write_bytes(reviews(50, 90))
    added = taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    assert added.name == "reviews-2"
    assert len(texts(root)) == 90
    shutil.rmtree(root / "data")
    (root / "data.dvc").unlink()
    assert ingest(root, say=lambda line: None).version == added.report.version  # from nothing


def test_where_data_is_missing_the_optional_sources_of_its_version_stay(root):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    text = (root / "sources.yaml").read_text(encoding="utf-8")
    (root / "sources.yaml").write_text(text.replace("synthetic: true", "synthetic: true, optional: true"), encoding="utf-8")
    shutil.rmtree(root / "data")
    (root / "notes.txt").write_text("A note.", encoding="utf-8")
    taken_in(root, "notes.txt", target="corpus")
    assert (root / "data" / "srl").exists()


def test_where_a_file_of_data_is_lost_for_good_the_optional_sources_of_its_version_are_made_again(root):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    text = (root / "sources.yaml").read_text(encoding="utf-8")
    (root / "sources.yaml").write_text(text.replace("synthetic: true", "synthetic: true, optional: true"), encoding="utf-8")
    lost = root / "data" / "sentiment" / "test.parquet"
    md5 = hashlib.md5(lost.read_bytes()).hexdigest()
    lost.unlink()
    (root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    (root / "notes.txt").write_text("A note.", encoding="utf-8")
    taken_in(root, "notes.txt", target="corpus")
    assert (root / "data" / "srl").exists()
    assert len(texts(root)) == 60


def test_data_of_the_users_own_making_is_not_replaced_by_the_default_sources(root):
    own = own_data(root)
    (root / "notes.txt").write_text("A note.", encoding="utf-8")
    with pytest.raises(UserError, match=r"^data: does not say what it was made from \(no sources\.json\), .*; make the change in a copy"):
        taken_in(root, "notes.txt", target="corpus")
    assert data_versions.in_use(root) == data_versions.of_folder(root / "data") == own
    assert (root / "sources.yaml").read_text(encoding="utf-8") == SOURCES
    assert ingest(root, say=lambda line: None).rows.keys() == {f"srl/{split}.parquet" for split in ("test", "train", "validation")}


def test_a_single_label_is_told_as_nothing_to_learn(root):
    rows = "".join(f"Bed {number},good\n" for number in range(60))
    (root / "more.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    told = "sentiment: every row has the label good, so there is nothing to tell apart; take in rows of another one"
    assert told in taken_in(root, "more.csv", target="sentiment").summary()
    (root / "other.csv").write_text("text,label\nA roof,bad\n", encoding="utf-8")
    assert "every row has the label" not in taken_in(root, "other.csv", target="sentiment").summary()


def test_a_name_that_another_source_has_is_refused_and_what_is_advised_replaces_that_one(root):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    (root / "mended.jsonl").write_bytes(reviews(100, 160))
    taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"}, name="good")
    assert not taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"}, name="good").report.changed
    before = (root / "sources.yaml").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"^--name good: sources\.yaml has another source called good; .*delete that entry first if this "):
        taken_in(root, "mended.jsonl", target="sentiment", columns={"text": "review"}, name="good")
    assert (root / "sources.yaml").read_text(encoding="utf-8") == before
    (root / "sources.yaml").write_text(SOURCES, encoding="utf-8")
    added = taken_in(root, "mended.jsonl", target="sentiment", columns={"text": "review"}, name="good")
    assert not added.all_known
    assert texts(root) == {f"Review {number} is what it is." for number in range(100, 160)}


def test_rows_that_are_all_known_are_told_so(root):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    (root / "again.jsonl").write_bytes(reviews(10, 50))
    first = taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    added = taken_in(root, "again.jsonl", target="sentiment", columns={"text": "review"})
    assert "all there already" not in first.summary()
    assert "\n  again: 40 rows, all there already\n" in added.summary()
    (root / "again.jsonl").write_bytes(reviews(10, 61))
    assert "all there already" not in taken_in(root, "again.jsonl", target="sentiment", columns={"text": "review"}).summary()


def test_labels_that_were_not_there_are_named(root):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    assert "new labels" not in taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"}).summary()
    (root / "more.csv").write_text("text,label\nA bed,good\nA roof,5\nA door,5\nA wall,Good\n", encoding="utf-8")
    added = taken_in(root, "more.csv", target="sentiment")
    assert "sentiment: 2 new labels, each a class of its own from now on: 5 (2 rows), Good (1 rows)" in added.summary()


def test_a_checkpoint_becomes_files_with_the_hash_of_its_bytes_in_sources_yaml_and_lineage(root, bases):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    shutil.copytree(bases / "bert", root / "tiny")
    (root / "tiny" / "pytorch_model.bin").write_bytes(b"left out")
    added = taken_in(root, "tiny", target="pretrained", license="own")
    kept = sorted(file.name for file in (root / "data" / "pretrained" / "tiny").iterdir())
    assert kept == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert len(texts(root)) == 60
    assert "tiny: tiny, a checkpoint; `init_from: tiny` in params.yaml takes it" in added.summary()
    assert git(root, "show", "--format=%s", "-s", "HEAD").strip() == "Ingest tiny into pretrained, a checkpoint of 4 files"
    origin = json.loads((root / "data" / "sources.json").read_text(encoding="utf-8"))["sources"]["tiny"]
    said = ancestry.describe(origin)
    assert said["target"] == added.source.target == "pretrained/tiny"
    assert said["sha256"] == added.source.sha256
    assert added.source.sha256 in (root / "sources.yaml").read_text(encoding="utf-8")
    again = taken_in(root, "tiny", target="pretrained", license="own")
    assert (again.report.changed, again.name) == (False, "tiny")
    for lost in ("data", ".dvc/cache"):
        shutil.rmtree(root / lost)
    assert ingest(root, say=lambda line: None).version == added.report.version
    (root / "tiny" / "generation_config.json").write_text("{}", encoding="utf-8")
    assert taken_in(root, "tiny", target="pretrained").source.target == "pretrained/tiny-2"


def test_what_is_no_checkpoint_changes_nothing(root, bases):
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})
    before = (root / "sources.yaml").read_bytes(), (root / "data.dvc").read_bytes(), git(root, "rev-parse", "HEAD")
    shutil.copytree(bases / "bert", root / "tiny")
    (root / "model.gguf").write_bytes(b"GGUF")
    for given, wish, message in (
        ("model.gguf", {}, r"^model\.gguf: a GGUF file with a damaged header"),
        ("reviews.jsonl", {}, r"^reviews\.jsonl: no checkpoint"),
        ("tiny", {"reader": "jsonl"}, r"^--reader: a checkpoint is taken as it is"),
        ("tiny", {"replace": True}, r"^--replace: a checkpoint is taken as it is"),
    ):
        with pytest.raises(UserError, match=message):
            taken_in(root, given, target="pretrained", **wish)
    (root / "tiny" / "model.safetensors").rename(root / "tiny" / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"^tiny: pytorch_model\.bin is a pickle"):
        taken_in(root, "tiny", target="pretrained")
    assert before == ((root / "sources.yaml").read_bytes(), (root / "data.dvc").read_bytes(), git(root, "rev-parse", "HEAD"))


def test_replacing_leaves_the_other_sources_of_the_target_out(root):
    (root / "old.jsonl").write_bytes(reviews(0, 60))
    (root / "new.jsonl").write_bytes(reviews(100, 160))
    taken_in(root, "old.jsonl", target="sentiment", columns={"text": "review"})
    taken_in(root, "new.jsonl", target="sentiment", columns={"text": "review"}, replace=True)
    assert len(texts(root)) == 60
    assert "Review 3 is what it is." not in texts(root)
    assert (root / "data" / "srl").exists()


def test_a_file_that_was_replaced_and_comes_again_with_other_words_is_told_its_old_entry(root):
    (root / "en.txt").write_text("A note.", encoding="utf-8")
    (root / "new.txt").write_text("Another note.", encoding="utf-8")
    taken_in(root, "en.txt", target="corpus", lang="en")
    taken_in(root, "new.txt", target="corpus", replace=True)
    said = []
    assert add(root, ["en.txt"], Wish(target="corpus"), say=said.append).name == "en-2"
    assert said[0] == "en-2: sources.yaml has these bytes already, as en, in another way; delete the entry that you do not want"
    assert taken_in(root, "en.txt", target="corpus", lang="en").name == "en"


def test_without_a_commit_the_files_are_left_to_the_user(root):
    (root / "notes.txt").write_text("One.\n\nTwo.\n", encoding="utf-8")
    assert taken_in(root, "notes.txt", target="corpus", commit=False).commit is None
    assert data_versions.in_use(root) is not None
    assert texts(root, "corpus") == {"One.\n\nTwo."}
    assert not git(root, "for-each-ref")


def test_a_new_file_is_read_before_a_package_is_fetched(root, monkeypatch):
    def fetch(*arguments):
        raise AssertionError("fetched")

    monkeypatch.setattr(archives, "fetch", fetch)
    (root / "sources.yaml").write_text(ARCHIVED, encoding="utf-8")
    (root / "other.jsonl").write_bytes(b'{"title": "x"}\n')
    with pytest.raises(UserError, match=r"^other: 1 of 1 rows refused"):
        taken_in(root, "other.jsonl", target="sentiment")
    (root / "reviews.jsonl").write_bytes(reviews(0, 60))
    with pytest.raises(AssertionError, match="fetched"):
        taken_in(root, "reviews.jsonl", target="sentiment", columns={"text": "review"})


@pytest.mark.parametrize(
    ("name", "content"),
    [("pairs.csv", "source,target\nHello.,你好。\n"), ("pairs.jsonl", '{"source": "Hello.", "target": "你好。"}\n')],
)
def test_a_translation_that_does_not_say_its_languages_is_told_how_to_say_them(root, tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"`--lang en:zh` says both languages of all rows") as found:
        taken_in(root, tmp_path / name, target="translation")
    assert "--column" not in str(found.value)


def test_a_column_and_an_option_that_are_no_pairs_are_told_their_form():
    assert (columns(["text=review"]), options(["header=[a]"])) == ({"text": "review"}, {"header": ["a"]})
    with pytest.raises(UserError, match=r"^--column text: expected COLUMN=FIELD, such as text=review; write it so$"):
        columns(["text"])
    with pytest.raises(UserError, match=r"^--option =x: expected KEY=VALUE, such as encoding=gb18030; write it so$"):
        options(["=x"])


@pytest.mark.parametrize(
    ("target", "lang", "message"),
    [
        ("qa", "en", "rows of qa have no language; leave --lang out"),
        ("qa", "en:zh", "rows of qa have no language; leave --lang out"),
        ("translation", "en", "rows of translation have two languages; say both, such as en:zh"),
        ("translation", "en:", "rows of translation have two languages; say both, such as en:zh"),
        ("corpus", "fr:zh", "a document has one language; say it alone, such as fr"),
    ],
)
def test_languages_are_as_many_as_the_rows_have(root, target, lang, message):
    with pytest.raises(UserError, match=rf"^--lang {lang}: {message}$"):
        taken_in(root, "nothing.txt", target=target, lang=lang)
