import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model import applications
from tasks import baseline
from tasks.session import Session

from ..fitting import FITTING

ROOT = Path(__file__).parents[2]
PARAMS = baseline.Params(**asdict(FITTING) | {"max_train_examples": 30})
SESSION = Session(checkpoints=Path("unused"), log=lambda step, values: None, progress=lambda done, total: None)
WORDS = ("bridge", "film", "garden", "teacher", "letter")
ROWS = {
    "sentiment": [{"text": f"a {('good', 'bad')[n % 2]} {WORDS[n % 5]}", "label": ("positive", "negative")[n % 2]} for n in range(40)],
    "summarization": [{"document": f"Bridge {n} is closed. Work begins.", "summary": f"Bridge {n}"} for n in range(40)],
}


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    for name, rows in ROWS.items():
        (tmp_path / name).mkdir()
        for split, part in (("train", rows), ("test", rows[:9])):
            pq.write_table(pa.Table.from_pylist(part, schema=applications.load(name).SCHEMA), tmp_path / name / f"{split}.parquet")
    (tmp_path / "corpus").mkdir()
    return tmp_path


def test_every_application_with_data_has_a_file_of_every_method(prepared: Path, tmp_path: Path) -> None:
    numbers = baseline.run(prepared, tmp_path / "out", params=PARAMS, session=SESSION)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["sentiment.parquet", "summarization.parquet"]
    assert numbers["sentiment_train"] == 30
    assert numbers["sentiment_methods"] == 3
    rows = ROWS["summarization"][8:2:-1]  # an evaluation has some of them, in an order of its own
    told = baseline.read(tmp_path / "out/summarization.parquet", rows)
    assert told == {"lead sentence": [{"summary": f"Bridge {n} is closed."} for n in range(8, 2, -1)]}


@pytest.mark.e2e
@pytest.mark.parametrize("vectors", ["word2vec", "fasttext"])
def test_another_process_with_another_hash_seed_writes_the_same_bytes(vectors: str, prepared: Path, tmp_path: Path) -> None:
    params = replace(PARAMS, vectors=vectors)
    code = f"""from pathlib import Path
from tasks import baseline, session
one = session.Session(checkpoints=Path(), log=lambda *_: None, progress=lambda *_: None)
baseline.run(Path({str(prepared)!r}), Path({str(tmp_path / "two")!r}), params=baseline.Params(**{asdict(params)!r}), session=one)"""
    baseline.run(prepared, tmp_path / "one", params=params, session=SESSION)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
