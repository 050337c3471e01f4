"""Whatever a person names, a folder, an archive, an address, a repository, a data set, comes in as what it holds, or is one line."""

import gzip
import io
import tarfile
import zipfile

import pytest

from flows.data import remote
from model.errors import UserError
from tasks import tables

from .conftest import SOURCES, git, reviews, taken_in, texts

pytestmark = pytest.mark.e2e  # data versions of a real DVC and git repository


def test_a_folder_of_several_formats_is_read_file_by_file(root, tmp_path):
    folder = tmp_path / "mixed"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden" / "secret.txt").write_text("secret")
    (folder / "a.txt").write_text("A plain text.")
    (folder / "b.html").write_text("<html><body><p>A page.</p><script>no</script></body></html>")
    (folder / "c.jsonl").write_text('{"text": "A line."}\n')
    (folder / "d.md").write_text("# A *title*\n\nProse.\n\n```\ncode\n```\n")
    (folder / "e.png").write_bytes(b"\x89PNG\0\0")
    (folder / "empty.txt").touch()
    added = taken_in(root, folder, target="corpus", lang="en")
    assert added.source.reader == "auto"
    assert texts(root, "corpus") == {"A plain text.", "A page.", "A line.", "A title\n\nProse."}
    assert added.report.taken["mixed"].left_out == 2
    assert {row["lang"] for row in tables.rows(root / "data" / "corpus" / "mixed.parquet")} == {"en"}


def zipped(members):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return held.getvalue()


def tarred(members, mode="w"):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode=mode) as packed:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return held.getvalue()


def zstd(content):
    import pyarrow as pa

    return pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("r.zip", lambda rows: zipped({"deep/r.jsonl": rows})),
        ("r.tar", lambda rows: tarred({"r.jsonl": rows})),
        ("r.tar.gz", lambda rows: tarred({"r.jsonl": rows}, "w:gz")),
        ("r.jsonl.gz", gzip.compress),
        ("r.jsonl.zst", zstd),
        ("r.tar.zst", lambda rows: zstd(tarred({"r.jsonl": rows}))),
        ("outer.zip", lambda rows: zipped({"inner.tar.gz": tarred({"r.jsonl.gz": gzip.compress(rows)}, "w:gz")})),
    ],
)
def test_archives_are_opened_by_their_content(root, tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(reviews(0, 60)))
    added = taken_in(root, tmp_path / name, target="sentiment", columns={"text": "review"})
    assert (len(texts(root)), added.source.uri) == (60, name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("out.zip", zipped({"../../out.txt": b"x"}), r"^out\.zip: \.\./\.\./out\.txt: a path that leads out of the archive; "),
        ("abs.tar", tarred({"/etc/x.txt": b"x"}), r"^abs\.tar: /etc/x\.txt: a path that leads out"),
        ("bomb.gz", gzip.compress(bytes(120_000_000)), r"^bomb\.gz: more than 100,000,000 bytes come out of it; raise ingest\.max_unp"),
        ("cut.tar.gz", tarred({"r.txt": b"text" * 9999}, "w:gz")[:-40], r"^cut\.tar\.gz: damaged archive \(.*\); get it again"),
        ("many.zip", zipped({f"{n}.txt": b"x" for n in range(1001)}), r"^many\.zip: more than 1,000 files; "),
        ("picture.png", b"\x89PNG\0\0", r"^picture\.png: no reader knows its content; "),
        ("empty.txt", b"", r"^empty\.txt: it is empty; "),
        ("few.jsonl", b'{"text": "x", "label": "y"}\n', r"^data/sentiment/\w+: no rows out of 1; "),
        ("other.jsonl", b'{"title": "x"}\n', r"^other: 1 of 1 rows refused.*no text, label; there is title"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(root, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as found:
        taken_in(root, tmp_path / name, target="sentiment")
    assert "\n" not in str(found.value)
    assert (root / "sources.yaml").read_text(encoding="utf-8") == SOURCES
    assert not (root / "data.dvc").exists()
    assert not (tmp_path / "out.txt").exists()


def test_an_address_is_fetched_and_kept(root, served):
    folder, place = served
    (folder / "r.jsonl").write_bytes(reviews(0, 60))
    added = taken_in(root, f"{place}/r.jsonl?token=secret", target="sentiment", columns={"text": "review"})
    assert (added.source.uri, len(texts(root))) == (f"{place}/r.jsonl", 60)
    with pytest.raises(UserError, match=rf"^{place}/none: answers 404 \(File not found\); mend the address$"):
        taken_in(root, f"{place}/none", target="corpus")
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:9/r\.jsonl: cannot be fetched \(.*\); check the address and the network$"):
        taken_in(root, "http://127.0.0.1:9/r.jsonl", target="corpus")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a" * 300, "a" * 200),
        ("b" * 300 + ".jsonl", "b" * 194),
        ("鸟" * 90, "鸟" * 66),
        ("%2e%2e", "page"),
        ("..", "page"),
        ("a%00b", "ab"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_an_address_may_end_in_what_no_file_is_called(root, monkeypatch, path, name, pack):
    monkeypatch.setattr(remote, "fetch", lambda address, into, max_bytes: into.write_bytes(pack(b"A note.")))
    assert taken_in(root, f"http://127.0.0.1/{path}", target="corpus").name == name
    assert texts(root, "corpus") == {"A note."}


def test_of_a_repository_only_tracked_files_come(root, tmp_path):
    repository = tmp_path / "texts"
    repository.mkdir()
    (repository / "tracked.txt").write_text("Tracked.")
    (repository / "secret.txt").write_text("Not tracked.")
    git(repository, "init", "-q")
    git(repository, "add", "tracked.txt")
    taken_in(root, repository, target="corpus")
    assert texts(root, "corpus") == {"Tracked."}


def test_a_data_set_saved_by_datasets_comes_with_the_names_of_its_labels(root, tmp_path):
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
    saved = Dataset.from_dict({"text": [f"Text {n}" for n in range(60)], "label": [n % 2 for n in range(60)]}, features=features)
    DatasetDict({"train": saved}).save_to_disk(tmp_path / "saved")
    added = taken_in(root, tmp_path / "saved", target="sentiment")
    assert added.source.reader == "arrow"
    labels = {row["label"] for row in tables.rows(root / "data" / "sentiment" / "train.parquet")}
    assert (len(texts(root)), labels) == (60, {"bad", "good"})
