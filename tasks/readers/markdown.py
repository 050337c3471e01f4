"""The same Markdown pages in two languages in; blocks that translate each other out."""

import html
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, takewhile
from pathlib import Path

from model.errors import UserError
from tasks.readers import Row, text_of

FENCE = re.compile(r"`{3,}|~{3,}")
HEADING = re.compile(r"(#{1,6})\s+(.*)")
ITEM = re.compile(r"(?:[*+-]|\d+[.)])\s+(.*)")
MARK = re.compile(r"(?:!!!|\?\?\?\+?|///|===)\s*\w*")  # admonitions and tabs of Material for MkDocs
IMAGE = re.compile(r"<img[^>]*?([^/\"]+)\"[^>]*>|!\[[^\]]*\]\([^)]*?([^/)]+)\)")

MARKUP = (
    (re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>"), ""),  # tags go, what they hold stays
    (re.compile(r"\[([^\]]+)\]\([^)]*\)(\{[^}]*\})?"), r"\1"),  # links
    (re.compile(r"(\*\*|__)(.+?)\1"), r"\2"),
    (re.compile(r"(?<![A-Za-z0-9_*])\*([^*\s][^*]*)\*(?![A-Za-z0-9_*])"), r"\1"),
    (re.compile(r"\{\s*#[^}]*\}"), ""),  # anchors of headings
    (re.compile(r"[\U0001f300-\U0001faff\u2600-\u27bf\u200d\ufe0f]"), ""),
    (re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\s+(?=[\u3000-\u9fff\uff00-\uffef])"), ""),
    (re.compile(r"\s+"), " "),
)
LETTER = re.compile(r"[^\W\d_]")
SCRIPTS = {"zh": re.compile(r"[\u4e00-\u9fff]"), "ja": re.compile(r"[\u3040-\u30ff]"), "ko": re.compile(r"[\uac00-\ud7af]")}

PROSE = ("h", "item", "text")
ANCHORS = ("h", "code", "image")

Block = tuple[str, str]  # kind (`h2`, `code`, `image`, `mark`, `item`, `text`) and text


def read(files: Sequence[Path], source_lang: str, target_lang: str) -> Iterator[Row]:
    """Rows of `source`, `target` and their languages, from pages whose paths differ only in a folder named after the language.

    Blocks that were left untranslated are left out here too.
    """
    sources, targets = (_pages(files, language) for language in (source_lang, target_lang))
    shared = sorted(sources.keys() & targets.keys())
    if not shared:
        raise UserError(f"reader markdown: no page is there in both {source_lang} and {target_lang}; name the files of both")
    script = SCRIPTS.get(target_lang, LETTER)
    for page in shared:
        for source, target in pairs(text_of(sources[page]), text_of(targets[page])):
            if source != target and LETTER.search(source) and script.search(target):
                yield {"source": source, "target": target, "source_lang": source_lang, "target_lang": target_lang}


def pairs(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Each block of prose in `source` with its counterpart in `target`, both without markup.

    Headings, code and images are matched first. Between two neighbours that match, blocks pair up if they are of the same kinds.
    """
    left, right = _sections(source), _sections(target)
    anchors, their_anchors = ([_signature(section[0]) for section in side] for side in (left, right))
    matcher = SequenceMatcher(None, anchors, their_anchors, autojunk=False)
    matched = [(mine + step, theirs + step) for mine, theirs, size in matcher.get_matching_blocks() for step in range(size)]
    for (mine, theirs), following in pairwise([*matched, (len(left), len(right))]):
        size = None if following == (mine + 1, theirs + 1) else 1  # a section that ends differently gives its heading alone
        blocks, translations = left[mine][:size], right[theirs][:size]
        if [kind for kind, _ in blocks] == [kind for kind, _ in translations]:
            for (kind, text), (_, translation) in zip(blocks, translations, strict=True):
                if kind.startswith(PROSE):
                    yield plain(text), plain(translation)


def plain(markdown: str) -> str:
    """A block without links, emphasis, tags, anchors and emoji; code keeps its backticks."""
    for pattern, replacement in MARKUP:
        markdown = pattern.sub(replacement, markdown)
    return html.unescape(markdown).strip()


def _pages(files: Sequence[Path], language: str) -> dict[tuple[str, ...], Path]:
    """The files in a folder called `language`, by their path with that folder (the innermost of that name) left open."""
    found = {}
    for file in files:
        if language in file.parent.parts:
            place = len(file.parts) - 1 - file.parts[::-1].index(language)
            found[(*file.parts[:place], "*", *file.parts[place + 1 :])] = file
    return found


def _sections(text: str) -> list[list[Block]]:
    """The blocks of a page, cut before each anchor; the first section begins with an anchor of no text."""
    sections: list[list[Block]] = [[("code", "")]]
    continued = False
    for kind, content in _lines(text):
        if kind.startswith(ANCHORS):
            sections.append([(kind, content)])
        elif kind == "text" and continued:
            block, begun = sections[-1].pop()
            sections[-1].append((block, f"{begun} {content}"))
        elif kind:
            sections[-1].append((kind, content))
        continued = kind in ("item", "text")
    return sections


def _lines(text: str) -> Iterator[Block]:
    """Each line with its kind, a fenced block as one; blank lines have none."""
    lines = iter(text.split("\n"))
    for line in map(str.strip, lines):
        if fence := FENCE.match(line):
            yield "code", "\n".join(takewhile(lambda code, end=fence[0]: not code.startswith(end), map(str.strip, lines)))  # type: ignore[misc]
        elif heading := HEADING.match(line):
            yield f"h{len(heading[1])}", heading[2]
        elif image := IMAGE.match(line):
            yield "image", image[1] or image[2]
        elif MARK.match(line) or line.startswith("|"):
            yield "mark", line
        elif item := ITEM.match(line):
            yield "item", item[1]
        else:
            yield ("text" if plain(line) else ""), line


def _signature(anchor: Block) -> str:
    kind, text = anchor
    return kind if kind.startswith("h") else f"{kind} {text}"
