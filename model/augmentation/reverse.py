"""Translations the other way round (Ding et al., 2021): source and target change places, so that a model learns both directions."""

from collections.abc import Mapping
from typing import Any

OPPOSITE = {"source": "target", "target": "source", "source_lang": "target_lang", "target_lang": "source_lang"}


def change(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of the opposite direction."""
    return {name: row[OPPOSITE.get(name, name)] for name in row}
