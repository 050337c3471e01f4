"""A lineage as a page: the family tree from the registered version down to its sources, drawn in the page itself; needs no network."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from flows.proof.evidence import Finding
from flows.proof.lineage import DATA, Lineage, Link
from model.errors import UserError

WIDTH, LEFT, BOX, HIGH, GAP = 1240, 130, 600, 58, 30  # of the drawing, the margin for arcs, a box and the space below it
SIDE = LEFT + BOX + 70  # where the code stands
SOURCES_IN_ROW = 3

STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6578; --line: #9aa5b8; --paper: #fbfbf9; --box: #ffffff; --mark: #2f6f4f;
  --wrong: #b3261e; --missing: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf0; --soft: #a4adbf; --line: #59647a; --paper: #14171d; --box: #1d222c;
  --mark: #7fc8a0; --wrong: #ff8a80; --missing: #e3b341; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1280px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } p { color: var(--soft); margin: .2rem 0 1rem; }
svg { width: 100%; min-width: 860px; height: auto; } .scroll { overflow-x: auto; }
rect { fill: var(--box); stroke: var(--line); rx: 7; } rect.model { stroke: var(--mark); stroke-width: 2; }
path { fill: none; stroke: var(--line); stroke-width: 1.4; } marker path { fill: var(--line); stroke: none; }
text { fill: var(--ink); font: 13px system-ui, sans-serif; } text.kind { fill: var(--soft); font-size: 11.5px; }
text.hash { fill: var(--soft); font: 11px ui-monospace, monospace; }
text.same { fill: var(--mark); } text.differs { fill: var(--wrong); } text.absent { fill: var(--missing); }
table { border-collapse: collapse; width: 100%; font-size: 13px; } td, th { text-align: left; padding: .3rem .6rem; vertical-align: top;
  border-top: 1px solid var(--line); } td.hash { font: 12px ui-monospace, monospace; white-space: nowrap; }
"""


def write(file: Path, chain: Lineage, findings: Sequence[Finding] = ()) -> None:
    """Draw `chain`, and what a check found of it, into an HTML file.

    Raises:
        UserError: the file cannot be written.
    """
    drawing, height = _drawing(chain, findings)
    rows = "".join(
        f"<tr><th>{escape(kind)}</th><td>{escape(name)}</td>{_hash(value)}<td>{escape(said)}</td></tr>"
        for kind, name, value, said in chain.rows()
    )
    checked = "".join(f"<tr><th>{escape(one.what)}</th><td>{one.state}</td><td>{escape(one.detail)}</td></tr>" for one in findings)
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(chain.title)}: lineage</title>
<style>{STYLE}</style>
<h1>{escape(chain.title)}</h1><p>Where it comes from, down to the bytes of its sources. An arrow points to what a thing was made from.</p>
<div class="scroll"><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Family tree of {escape(chain.title)}">
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0L8 4L0 8z"/></marker></defs>
{drawing}</svg></div>
<h2>In full</h2><table>{rows}</table>
{f"<h2>Checked</h2><table>{checked}</table>" if findings else ""}
</html>
"""
    partial = file.with_name(file.name + ".partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise UserError(f"--page {file}: {error.strerror}; name a file in a folder that is there") from None


def _drawing(chain: Lineage, findings: Sequence[Finding]) -> tuple[str, int]:
    """The boxes from top to bottom: the version, its stages, the data, its sources; the code beside them."""
    state = {one.what: one.state for one in findings}
    code = next((link for link in chain.links if link.made == "code"), None)
    spine = [link for link in chain.links if link is not code]
    aliases = f" ({', '.join(chain.aliases)})" if chain.aliases else ""
    scores = ", ".join(f"{name} {value:.4f}" for name, value in chain.metrics.items())
    parts = [_box(LEFT, 0, BOX, "model", f"{chain.title}{aliases}", chain.checkpoint, scores, state.get("registered model"))]
    places = {"": 0}
    for number, link in enumerate(spine, 1):
        places[link.stage] = number * (HIGH + GAP)
        parts.append(_box(LEFT, places[link.stage], BOX, link.made, link.stage, link.hash, _numbers(link), _worst(link, state)))
    places[DATA] = (len(spine) + 1) * (HIGH + GAP)
    parts.append(_box(LEFT, places[DATA], BOX, "data version", DATA, chain.data_version, "", state.get("data version")))
    parts += [_arrow(places[""], places[spine[0].stage])] if spine else []
    parts += [_arrow(places[link.stage], places[need]) for link in spine for need in link.needs if need in places]
    if code:
        parts += _code(chain, code, [places[link.stage] for link in spine if code.stage in link.needs], state)
    return "\n".join([*parts, *_sources(chain, places[DATA], state)]), places[DATA] + _rows_of(chain) * (HIGH + GAP) + HIGH + 2


def _code(chain: Lineage, code: Link, users: list[int], state: Mapping[str, str]) -> list[str]:
    """The code beside the stages that run it, with what it computed with."""
    wide, top = WIDTH - SIDE - 2, HIGH + GAP
    commit = f"code commit {chain.run_commit[:10]}"
    parts = [
        _box(SIDE, top, wide, "code", code.stage, code.hash, "", _worst(code, state)),
        _box(SIDE, top * 2, wide, "code commit", chain.run_commit[:10], chain.run_commit, "", state.get(commit)),
        f'<path d="M{SIDE + wide / 2} {top + HIGH}V{top * 2}" marker-end="url(#tip)"/>',
    ]
    rail = SIDE - 34
    parts += [f'<path d="M{LEFT + BOX} {y + HIGH / 2}H{rail}V{top + HIGH / 2}H{SIDE}" marker-end="url(#tip)"/>' for y in users]
    libraries = [f"{name} {version}" for name, version in sorted(chain.libraries.items())]
    lines = [", ".join(libraries[start : start + 3]) for start in range(0, len(libraries), 3)]
    texts = (f'<text class="kind" x="{SIDE}" y="{top * 3 + 14 + 17 * n}">{escape(line)}</text>' for n, line in enumerate(["with", *lines]))
    return [*parts, *texts]


def _sources(chain: Lineage, above: int, state: Mapping[str, str]) -> list[str]:
    wide = (WIDTH - 2 * GAP) / SOURCES_IN_ROW - 4
    parts = []
    for number, (name, source) in enumerate(chain.sources.items()):
        row, column = divmod(number, SOURCES_IN_ROW)
        x, y = 2 + column * (wide + GAP), above + (row + 1) * (HIGH + GAP)
        said = f"{'synthetic; ' if source['synthetic'] else ''}{source['license'] or 'no licence given'}"
        parts.append(_box(x, y, wide, f"source for {source['target']}", name, source["sha256"] or "", said, state.get(f"source {name}")))
        if row == 0:
            parts.append(f'<path d="M{LEFT + BOX / 2} {above + HIGH}V{y - GAP / 2}H{x + wide / 2}V{y}" marker-end="url(#tip)"/>')
    return parts


def _rows_of(chain: Lineage) -> int:
    return -(-len(chain.sources) // SOURCES_IN_ROW)


def _box(x: float, y: float, wide: float, kind: str, name: str, value: str, said: str, state: str | None) -> str:
    room = int((wide - 24) / 6.7)
    shown = value if len(value) <= room else f"{value[: room - 1]}…"
    mark = (
        f'<text class="{"absent" if state == "not at hand" else state}" x="{x + wide - 12}" y="{y + 20}" text-anchor="end">{state}</text>'
        if state
        else ""
    )
    return (
        f"<g><title>{escape(f'{kind} {name} {value} {said}'.strip())}</title>"
        f'<rect class="{kind}" x="{x}" y="{y + 1}" width="{wide}" height="{HIGH - 2}"/>'
        f'<text x="{x + 12}" y="{y + 20}">{escape(name)}<tspan class="kind" dx="8">{escape(kind)}</tspan></text>{mark}'
        f'<text class="hash" x="{x + 12}" y="{y + 35}">{escape(shown)}</text>'
        f'<text class="kind" x="{x + 12}" y="{y + 50}">{escape(said[: int((wide - 24) / 5.6)])}</text></g>'
    )


def _arrow(start: int, end: int) -> str:
    """From a box to one below it: straight to the next, past those between in an arc."""
    if end - start == HIGH + GAP:
        return f'<path d="M{LEFT + BOX / 2} {start + HIGH}V{end}" marker-end="url(#tip)"/>'
    out = LEFT - min(LEFT - 6, (end - start) / 4)
    y, z = start + HIGH / 2, end + HIGH / 2
    return f'<path d="M{LEFT} {y}C{out} {y} {out} {z} {LEFT} {z}" marker-end="url(#tip)"/>'


def _numbers(link: Link) -> str:
    chosen = ("architecture", "base", "max_steps", "learning_rate", "seed", "num_threads", "vocab_size", "context", "strategy")
    return ", ".join(f"{name} {link.params[name]}" for name in chosen if link.params.get(name) is not None)


def _worst(link: Link, state: Mapping[str, str]) -> str | None:
    """Of all the hashes of a link."""
    found = {state[what] for path in link.outs if (what := f"{link.made} {path}") in state}
    return next((one for one in ("differs", "not at hand", "same") if one in found), None)


def _hash(value: str) -> str:
    return f'<td class="hash">{escape(value)}</td>'
