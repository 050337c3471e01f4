"""Numbers in; pictures as SVG, to stand inside a page, out. The same numbers are the same text."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 460
BAR, GAP, LABEL = 15, 9, 132


def columns(labels: Sequence[str], before: Sequence[int], after: Sequence[int]) -> str:
    """A histogram: what there was as a pale column, what is left as a dark one in front of it."""
    height, bottom = 190, 26
    top = max([*before, *after, 1])
    step = WIDTH / max(len(labels), 1)
    parts = []
    for place, (label, old, new) in enumerate(zip(labels, before, after, strict=True)):
        left = place * step
        for name, value in (("before", old), ("after", new)):
            tall = (height - bottom - 18) * value / top
            parts.append(
                f'<rect class="{name}" x="{left + 0.1 * step:.1f}" y="{height - bottom - tall:.1f}" width="{0.8 * step:.1f}"'
                f' height="{tall:.1f}" rx="2"><title>{escape(label)}: {old:,} before, {new:,} after</title></rect>'
            )
        parts.append(f'<text class="tick" x="{left + step / 2:.1f}" y="{height - 9}" text-anchor="middle">{escape(label)}</text>')
        if old:
            tall = (height - bottom - 18) * max(old, new) / top
            parts.append(_number(_compact(new), left + step / 2, height - bottom - tall - 5, "middle"))
    parts.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{height - bottom + 0.5}" y2="{height - bottom + 0.5}"/>')
    return _svg(parts, height)


def bars(labels: Sequence[str], before: Sequence[int], after: Sequence[int]) -> str:
    """The same, lying: for names."""
    top = max([*before, *after, 1])
    wide = WIDTH - LABEL - 104
    parts = []
    for place, (label, old, new) in enumerate(zip(labels, before, after, strict=True)):
        y = place * (BAR + GAP) + 4
        shown = label if len(label) <= 20 else f"{label[:19]}…"
        parts.append(f'<text class="name" x="{LABEL - 10}" y="{y + BAR - 3.5}" text-anchor="end">{escape(shown)}</text>')
        for name, value in (("before", old), ("after", new)):
            parts.append(
                f'<rect class="{name}" x="{LABEL}" y="{y}" width="{wide * value / top:.1f}" height="{BAR}" rx="2">'
                f"<title>{escape(label)}: {old:,} before, {new:,} after</title></rect>"
            )
        told = f"{_compact(new)} of {_compact(old)}" if old > new else _compact(new)
        parts.append(_number(told, LABEL + wide * max(old, new) / top + 7, y + BAR - 3.5, "start"))
    return _svg(parts, len(labels) * (BAR + GAP) + 4)


def share(part: float) -> str:
    """A bar for a cell of a table: how much of all is lost."""
    return (
        '<svg class="share" viewBox="0 0 90 8" role="img"><rect class="before" width="90" height="8" rx="2"/>'
        f'<rect class="lost" width="{90 * part:.2f}" height="8" rx="2"/></svg>'
    )


def _compact(number: int) -> str:
    return f"{number:,}" if number < 10_000 else f"{number / 1e3:,.0f} k" if number < 1e6 else f"{number / 1e6:,.1f} M"


def _number(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="number" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _svg(parts: Sequence[str], height: float) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{"".join(parts)}</svg>'


def paired(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[list[str], list[int], list[int]]:
    """The names of both, and what each has of them."""
    names = list(dict.fromkeys([*before, *after]))
    return names, [before.get(name, 0) for name in names], [after.get(name, 0) for name in names]
