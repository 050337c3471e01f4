"""The report of prepare in; a page that needs nothing besides itself, with pictures and samples, out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from tasks.cleaning import charts
from tasks.intake.splits import SPLITS

ABOUT = {
    "unicode": "NFC, one kind of space and of line end, no control characters",
    "length": "too short to learn from",
    "boilerplate": "lines that many documents of a source share, navigation, cookie notices",
    "language": "what is in another language than its source declares, or than is wanted",
    "quality": "repetition, symbols, odd words: the ratios of Gopher",
    "personal": "personal data, replaced by placeholders",
    "duplicates": "the same text again",
    "test_splits": "what shares a passage with a test split",
    "near_duplicates": "nearly the same text again, by MinHash",
}
SHOWN = 6  # reasons of a step
BARS = 10  # of a picture, besides the others
MANY = 6  # documents in a group, whose number is no longer told

Json = Mapping[str, Any]


def page(report: Json) -> str:
    """One HTML document. Texts are escaped; personal data in samples is masked before it comes here."""
    corpus = report["corpus"]
    sections = (
        ("", f"<h1>What prepare did</h1>{_tiles(report)}"),
        ("The corpus, step by step", _steps(corpus["steps"])),
        ("How it is distributed", f"<p class='key'><i class='before'></i> came in <i></i> is left</p>{_pictures(corpus)}"),
        ("Samples", _samples(corpus["steps"])),
        ("The applications", _applications(report["applications"])),
    )
    body = "\n".join(f"<section>{f'<h2>{title}</h2>' if title else ''}{content}</section>" for title, content in sections)
    head = f"<meta charset='utf-8'><title>What prepare did</title><style>{STYLE}</style>"
    return f"<!doctype html>\n<html lang='en'><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


def _tiles(report: Json) -> str:
    before, after = report["corpus"]["in"], report["corpus"]["out"]
    removed = dict.fromkeys(ABOUT, 0)
    masked = examples = 0
    for step in _all_steps(report):
        removed[step["step"]] += step["removed"]
        masked += sum(step["found"].values()) if step["step"] == "personal" else 0
    for splits in report["applications"].values():
        examples += sum(steps[-1]["out"] for steps in splits.values() if steps)
    told = (
        (f"{after['documents']:,}", f"documents, of {before['documents']:,}"),
        (f"{after['characters'] / 1e6:,.1f} M", f"characters, {after['characters'] / max(before['characters'], 1):.1%} of what came in"),
        (f"{examples:,}", f"examples for {len(report['applications'])} applications"),
        (f"{removed['duplicates'] + removed['near_duplicates']:,}", "texts that repeat another"),
        (f"{removed['test_splits']:,}", "texts that a test split holds, in part or whole"),
        (f"{masked:,}", "items of personal data masked"),
    )
    return "<dl>" + "".join(f"<div><dt>{number}</dt><dd>{what}</dd></div>" for number, what in told) + "</dl>"


def _all_steps(report: Json) -> Iterator[Json]:
    yield from report["corpus"]["steps"]
    for splits in report["applications"].values():
        for steps in splits.values():
            yield from steps


def _steps(steps: Iterable[Json]) -> str:
    rows = [
        _row(
            f"{_name(step)}<small>{ABOUT[step['step']]}</small>",
            f"{step['in']:,}",
            f"{step['changed']:,}" if step["changed"] else "",
            f"{step['removed']:,}" if step["removed"] else "",
            charts.share(step["removed"] / max(step["in"], 1)),
            _counts(step["reasons"]) or _counts(step["found"]),
        )
        for step in steps
    ]
    return f"<table>{_row('step', 'in', 'changed', 'removed', '', 'why, or what was found', cell='th')}{''.join(rows)}</table>"


def _row(*cells: str, cell: str = "td") -> str:
    return "<tr>" + "".join(f"<{cell}>{content}</{cell}>" for content in cells) + "</tr>"


def _name(step: Json) -> str:
    return step["step"].replace("_", " ")


def _counts(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    more = f" <small>and {len(most) - SHOWN} more</small>" if len(most) > SHOWN else ""
    return " ".join(f"<span>{escape(name[:60])} <b>{count:,}</b></span>" for name, count in most[:SHOWN]) + more


def _pictures(corpus: Json) -> str:
    before, after, groups = corpus["in"], corpus["out"], corpus["groups"]
    tops = _tops(before, after)
    lengths = charts.paired(*({f"<{_short(top)}": part["lengths"].get(str(top), 0) for top in tops} for part in (before, after)))
    pictures = [("Length of a document, characters", charts.columns(*lengths))]
    for name, title in (("sources", "Sources, characters"), ("languages", "Languages, characters")):
        pictures.append((title, charts.bars(*_largest(before[name], after[name]))))
    repeated: Counter[str] = Counter()
    for what, kind in (("equal", "duplicates"), ("similar", "near_duplicates")):
        for size, count in sorted((int(size), count) for size, count in groups[kind].items()):
            repeated[f"{size if size < MANY else f'{MANY} or more'} documents, {what}"] += count
    pictures.append(("Groups of repeated documents", charts.bars(*charts.paired({}, repeated)) if repeated else "<p>There were none.</p>"))
    figures = "".join(f"<figure><figcaption>{title}</figcaption>{svg}</figure>" for title, svg in pictures)
    return f"<div class='pictures'>{figures}</div>"


def _largest(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> tuple[list[str], list[int], list[int]]:
    """The characters of the largest parts, and of all others together."""
    names = sorted({*before, *after}, key=lambda name: (-max(part[name]["characters"] for part in (before, after) if name in part), name))
    sums: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for place, name in enumerate(names):
        for part, total in zip((before, after), sums, strict=True):
            total[name if place < BARS else "others"] += part[name]["characters"] if name in part else 0
    return charts.paired(*sums)


def _tops(*parts: Json) -> list[int]:
    """Every power of two between the shortest and the longest document."""
    known = [int(top).bit_length() - 1 for part in parts for top in part["lengths"]]
    return [2**bits for bits in range(min(known, default=0), max(known, default=-1) + 1)]


def _short(number: int) -> str:
    return str(number) if number < 1024 else f"{number // 1024}k"


def _samples(steps: Iterable[Json]) -> str:
    return "".join(
        f"<details{' open' if step['removed'] else ''}><summary>{_name(step)}</summary>{''.join(map(_sample, step['samples']))}</details>"
        for step in steps
        if step["samples"]
    )


def _sample(sample: Mapping[str, str]) -> str:
    if "why" in sample:
        beside = f"<del>{escape(sample['beside'])}</del>" if "beside" in sample else ""
        return f"<blockquote><b>{escape(sample['why'])}</b>{escape(sample['text'])}{beside}</blockquote>"
    before = f"<del>{escape(sample['before'])}</del>" if "before" in sample else ""
    return f"<blockquote>{before}<ins>{escape(sample['after'])}</ins></blockquote>"


def _applications(applications: Mapping[str, Mapping[str, list[Json]]]) -> str:
    rows = []
    for name, splits in applications.items():
        for split, steps in ((split, splits[split]) for split in SPLITS):
            removed = {_name(step): step["removed"] for step in steps if step["removed"]}
            masked = {
                f"{kind.replace('_', ' ')} masked": count
                for step in steps
                if step["step"] == "personal"
                for kind, count in step["found"].items()
            }
            before, after = (steps[0]["in"], steps[-1]["out"]) if steps else (0, 0)
            numbers = (f"{before:,}", f"{after:,}", charts.share(1 - after / max(before, 1)), _counts(removed | masked))
            rows.append(_row(escape(name), split, *numbers))
    return f"<table>{_row('application', 'split', 'in', 'out', '', 'removed by, and masked', cell='th')}{''.join(rows)}</table>"


STYLE = """
:root { --ink: #1d2a33; --soft: #5d6d78; --line: #e1e6ea; --paper: #fff; --tint: #f5f7f9;
  --old: #cfd9e0; --new: #1f5a8c; --lost: #c2553d }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4eaee; --soft: #94a3ad; --line: #2c3840; --paper: #12181c; --tint: #1a2329;
    --old: #3a4852; --new: #6aa9dd; --lost: #e0806a }
}
body { margin: 0 auto; max-width: 1040px; padding: 36px 28px 60px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 "Inter", "Segoe UI", "Helvetica Neue", Arial, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif }
h1 { font-size: 30px; font-weight: 650; letter-spacing: -.02em; margin: 0 0 22px }
h2 { font-size: 19px; font-weight: 600; margin: 44px 0 12px }
dl { display: grid; grid-template-columns: repeat(3, 1fr); gap: 12px; margin: 0 }
dl div { background: var(--tint); border-radius: 10px; padding: 14px 18px }
dt { font-size: 26px; font-weight: 600; letter-spacing: -.01em; font-variant-numeric: tabular-nums }
dd { margin: 0; color: var(--soft); font-size: 14px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px }
td, th { padding: 8px 14px 8px 0; border-bottom: 1px solid var(--line); vertical-align: top }
td:nth-child(2), td:nth-child(3), td:nth-child(4) { white-space: nowrap }
td:first-child { font-weight: 600; min-width: 150px }
td:last-child { font-size: 13px; color: var(--soft) }
td:last-child span { display: inline-block; background: var(--tint); border-radius: 5px; padding: 1px 7px; margin: 0 3px 4px 0 }
small { display: block; font-weight: 400; font-size: 12.5px; color: var(--soft); line-height: 1.35 }
span + small { display: inline; white-space: nowrap }
b { font-weight: 600; color: var(--ink) }
.pictures { display: grid; grid-template-columns: repeat(2, 1fr); gap: 30px 36px }
figure { margin: 0 } figcaption { font-size: 14px; font-weight: 600; margin-bottom: 10px } svg { width: 100%; height: auto; display: block }
svg.share { width: 90px; margin-top: 7px }
.before { fill: var(--old); background: var(--old) } .after { fill: var(--new) } .lost { fill: var(--lost) } .axis { stroke: var(--line) }
text { font-size: 11.5px; fill: var(--soft) } text.name { font-size: 12.5px; fill: var(--ink) }
.key { color: var(--soft); font-size: 13px }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 4px 0 8px; vertical-align: -1px }
.key i:not(.before) { background: var(--new) }
details { border-bottom: 1px solid var(--line) } summary { cursor: pointer; padding: 9px 0; font-weight: 600 }
blockquote { margin: 0 0 10px; padding: 9px 14px; background: var(--tint); border-radius: 8px; font-size: 13.5px; overflow-wrap: anywhere }
blockquote b { display: block; font-size: 12px; color: var(--lost) }
del, ins { display: block; text-decoration: none } del { color: var(--soft) } ins::before { content: "→ " }
"""
