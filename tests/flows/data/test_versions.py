"""A data.dvc that a merge or a hand has broken is one line."""

import pytest

from flows.data import versions
from model.errors import UserError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<<<<<<< HEAD\nouts:\n", r"^data.dvc: not valid YAML \(.*line 2.*\); `git checkout data.dvc` brings back the committed one$"),
        ("", r"^data.dvc: has no outs; `git checkout"),
        ("- md5: a.dir\n", r"^data.dvc: has no outs; `git checkout"),
        ("outs: []\n", r"^data.dvc: names no data version; `git checkout"),
        ("outs:\n- path: data\n", r"^data.dvc: names no data version; `git checkout"),
    ],
)
def test_a_broken_file_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        versions.parse(text)
