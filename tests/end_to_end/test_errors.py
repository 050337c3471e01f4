"""What people do wrong and what breaks under them: one line that says so, exit code 1, and nothing lost."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import APPLICATIONS, STAGES, Project, surroundings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

LIMIT = 3_000_000  # bytes of a file; MLflow's database is smaller, the checkpoints of a wide base are larger
WIDE = ("-S", "pretrain.encoder.intermediate_size=12000")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  vocab_size: 320", "  vocab_size: 320\n  vocabulary: 5", "params.yaml: tokenizer.vocabulary: unknown"),
        ("  vocab_size: 320", "", "params.yaml: tokenizer.vocab_size: missing"),
        ("  vocab_size: 320", "  vocab_size: many", "params.yaml: tokenizer.vocab_size: "),
        ("  vocab_size: 320", "  vocab_size: 3", "params.yaml: tokenizer.vocab_size: "),
        ("  vocab_size: 320", "  vocab_size: [320", "params.yaml: not valid YAML"),
    ],
    ids=["unknown", "missing", "mistyped", "out of range", "no YAML"],
)
def test_a_wrong_key_of_params_is_named(project: Project, old: str, new: str, said: str) -> None:
    project.change("params.yaml", old, new)
    assert said in project.stemma("run").line


def test_a_plan_names_a_wrong_key_of_params_too(project: Project) -> None:
    project.change("params.yaml", "  vocab_size: 320", "  vocab_size: 3")
    assert "params.yaml: tokenizer.vocab_size: " in project.stemma("plan").line


def test_missing_data_says_how_to_get_it(project: Project) -> None:
    shutil.rmtree(project.root / "data")
    (project.root / "data.dvc").unlink()
    assert project.stemma("run").line == "data: missing, and stage prepare needs it; `stemma ingest` makes it"


def test_edited_data_is_not_taken_for_a_data_version(project: Project) -> None:
    file = project.root / "data/qa/train.parquet"
    file.unlink()
    file.write_bytes(b"edited")
    assert project.stemma("run").line.startswith("data: not the files of data.dvc; `dvc add data` makes them a data version")
    assert file.read_bytes() == b"edited"


def test_a_truncated_parquet_file_is_named(project: Project, server: dict[str, str]) -> None:
    file = project.root / "data/qa/train.parquet"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])
    project.dvc("add", "-q", "data")
    ran = project.run(code=1, **server)
    [line] = [line for line in ran.err.splitlines() if "exit code" in line]
    assert "data/qa/train.parquet: truncated or not a Parquet file" in line
    assert ran.outcomes == {"code": "unchanged", "prepare": "failed"} | {
        name: "skipped" for name in [*STAGES[2:], *(f"register@{application}" for application in APPLICATIONS)]
    }
    assert "Traceback" not in ran.out


def damage(file: Path) -> None:
    """Other bytes of the same length, mode and age."""
    about = file.stat()
    file.chmod(0o644)
    file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes()))
    file.chmod(about.st_mode)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_data_that_is_missing_in_the_cache_too_says_so(project: Project) -> None:
    project.cached("data", "data.dvc")[0].unlink()
    shutil.rmtree(project.root / "data")
    assert project.stemma("run").line.startswith("data: files of data.dvc are missing here and in the DVC cache; ")


def test_data_that_is_damaged_in_the_cache_is_not_used(project: Project) -> None:
    [broken, *_] = [file for file in project.cached("data", "data.dvc") if file.stat().st_size > 100]
    damage(broken)
    shutil.rmtree(project.root / "data")
    assert "damaged" in project.stemma("run").line
    assert not (project.root / "data").exists()
    assert "missing here and in the DVC cache" in project.stemma("run").line


@pytest.mark.slow
def test_outputs_missing_or_damaged_in_the_cache_are_made_again(project: Project, finished: Project, server: dict[str, str]) -> None:
    damage(max(project.cached("build/finetune/qa"), key=lambda file: file.stat().st_size))
    max(project.cached("build/finetune/srl"), key=lambda file: file.stat().st_size).unlink()
    for name in ("qa", "srl"):
        shutil.rmtree(project.root / "build/finetune" / name)
    ran = project.run(**server)
    assert ran.outcomes == dict.fromkeys(STAGES, "unchanged") | {"finetune@qa": "ran", "finetune@srl": "ran"}
    assert "build/finetune/qa was damaged in the DVC cache" in ran.reasons("finetune@qa")
    assert project.bytes_of("build") == finished.bytes_of("build")


def test_a_prefect_server_that_does_not_answer_is_named(project: Project) -> None:
    said = project.stemma("run", PREFECT_API_URL="http://127.0.0.1:9/api").line
    assert said.startswith("PREFECT_API_URL: no Prefect server answers at http://127.0.0.1:9/api; ")


def test_a_folder_outside_git_is_named(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    assert "not a git repository" in project.stemma("run").line


def test_a_folder_without_a_project_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import stemma; stemma.main()", "plan"]
    variables = surroundings({"PYTHONPATH": str(Path(__file__).resolve().parents[2])})
    ran = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"{tmp_path}: no Stemma project here or above; change into the folder that holds dvc.yaml and flows/\n"


@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_line_and_the_next_run_goes_on(project: Project, server: dict[str, str]) -> None:
    command = [sys.executable, "-m", "stemma", "run", "--json", "--only", "pretrain@encoder", *WIDE]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))

    full = subprocess.run(
        command, cwd=project.root, env=surroundings(server), capture_output=True, text=True, check=False, preexec_fn=limited
    )
    assert full.returncode == 1
    assert "Traceback" not in full.stdout + full.stderr
    [line] = [line for line in full.stderr.splitlines() if "exit code" in line]
    assert "File too large" in line
    assert "make room" in line
    ran = project.run("--only", "pretrain@encoder", **server)
    assert ran.outcomes["pretrain@encoder"] == "ran"
    assert max(len(content) for content in project.bytes_of("build/pretrain/encoder").values()) > LIMIT
