"""Archives: fetched by the real package client from a folder of packages, verified, and opened."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from flows.data import archives
from model.errors import UserError
from tasks.intake.sources import Archive


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A published wheel, and pip told to look nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    file = folder / "talks-1.0-py3-none-any.whl"
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        packed.writestr("deep/rows.csv", "a,b\n")
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("talks/data/one.txt", "One.")
        packed.writestr("talks/data/two.txt", "Two.")
        packed.writestr("talks/inner.zip", inner.getvalue())
        packed.writestr("talks-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: talks\nVersion: 1.0\n")
        packed.writestr("talks-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr("talks-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return file


def pinned(file):
    return Archive(package="talks", version="1.0", kind="wheel", sha256=hashlib.sha256(file.read_bytes()).hexdigest())


def test_a_package_is_fetched_once_and_then_needs_no_network(wheel, tmp_path):
    archive = pinned(wheel)
    kept = archives.fetch(tmp_path, tmp_path, "talks", archive)
    content = wheel.read_bytes()
    wheel.unlink()
    assert archives.fetch(tmp_path, tmp_path, "talks", archive) == kept
    assert kept.read_bytes() == content
    assert [file.name for file in kept.parent.iterdir()] == [archive.sha256]


def test_another_sha256_is_one_line_with_both(wheel, tmp_path):
    right = pinned(wheel)
    wrong = Archive(package="talks", version="1.0", kind="wheel", sha256="b" * 64)
    with pytest.raises(UserError, match=f"^sources\\.yaml: talks: sha256 differs, pinned {'b' * 64}, got {right.sha256}; ") as found:
        archives.fetch(tmp_path, tmp_path, "talks", wrong)
    assert "\n" not in str(found.value)


def test_what_a_killed_one_leaves_lies_in_the_workplace_which_is_emptied(wheel, tmp_path, monkeypatch):
    def killed(name, archive, folder):
        (folder / "half").touch()
        assert [file.name for file in (tmp_path / "work").rglob("half")] == ["half"]
        raise KeyboardInterrupt

    (tmp_path / "work").mkdir()
    monkeypatch.setattr(archives, "_download", killed)
    with pytest.raises(KeyboardInterrupt):
        archives.fetch(tmp_path, tmp_path / "work", "talks", pinned(wheel))


@pytest.mark.e2e
def test_a_kept_archive_that_was_damaged_is_one_line(wheel, tmp_path):
    archive = pinned(wheel)
    kept = archives.fetch(tmp_path, tmp_path, "talks", archive)
    kept.write_bytes(b"damaged")
    with pytest.raises(UserError, match=rf"^sources\.yaml: talks: sha256 differs, .*; delete .*{archive.sha256} to fetch it again$"):
        archives.fetch(tmp_path, tmp_path, "talks", archive)


@pytest.mark.e2e
def test_no_network_is_one_line(wheel, tmp_path, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(UserError, match=r"^sources\.yaml: talks: cannot fetch talks==1\.0 \(.*\); check the network") as found:
        archives.fetch(tmp_path, tmp_path, "talks", pinned(wheel))
    assert "\n" not in str(found.value)
    assert not list((tmp_path / ".stemma" / "downloads").iterdir())


def test_inner_files_are_unpacked_in_the_order_of_their_names_also_from_an_archive_inside(wheel, tmp_path):
    files = archives.extract(wheel, "wheel", ["talks/data/*.txt", "talks/inner.zip!*.csv"], tmp_path / "out")
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == [
        "talks/data/one.txt",
        "talks/data/two.txt",
        "talks/inner.zip!/deep/rows.csv",
    ]
    assert files[2].read_text() == "a,b\n"


def test_the_top_folder_of_an_sdist_is_left_out_and_a_pattern_without_match_is_one_line(tmp_path):
    with tarfile.open(tmp_path / "talks-1.0.tar.gz", "w:gz") as packed:
        entry = tarfile.TarInfo("talks-1.0/data/one.txt")
        entry.size = 4
        packed.addfile(entry, io.BytesIO(b"One."))
    (file,) = archives.extract(tmp_path / "talks-1.0.tar.gz", "sdist", ["data/one.txt"], tmp_path / "out")
    assert file.read_text() == "One."
    with pytest.raises(UserError, match=r"^sources\.yaml: data/two\.txt: no such file in the archive; "):
        archives.extract(tmp_path / "talks-1.0.tar.gz", "sdist", ["data/two.txt"], tmp_path / "out")


def test_a_path_that_leaves_its_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.whl", "w") as packed:
        packed.writestr("../evil.txt", "x")
    with pytest.raises(UserError, match=r"^\.\./evil\.txt: a path that leaves its archive"):
        archives.extract(tmp_path / "bad.whl", "wheel", ["*"], tmp_path / "out")
