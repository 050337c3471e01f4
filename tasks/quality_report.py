"""The report of prepare in; a page that needs nothing besides itself out."""

from typing import Any


def page(report: dict[str, Any]) -> str:
    return "<!doctype html>"
