"""Markdown pages in; their text as documents, or, of the same pages in two languages, blocks that translate each other, out."""

import html
import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, takewhile
from pathlib import Path

from model.errors import UserError
from tasks.intake.lines import text_of
from tasks.readers import Refused, Row
from tasks.readers.text import join

FENCE = re.compile(r"`{3,}|~{3,}")
HEADING = re.compile(r"(#{1,6})\s+(.*)")
ITEM = re.compile(r"(?:[*+-]|\d+[.)])\s+(.*)")
FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # front matter
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

LONGEST_PAGE = 1 << 21  # bytes; patterns on longer ones take too long, and no page for people is
LONGEST_BLOCK = 10_000  # characters; a longer one keeps its markup

Block = tuple[str, str]  # kind (`h2`, `code`, `image`, `mark`, `item`, `text`) and text


def read(
    files: Sequence[Path],
    source_lang: str | None = None,
    target_lang: str | None = None,
    max_characters: int | None = None,
    lang: str | None = None,
) -> Iterator[Row | Refused]:
    """Rows of the corpus, of at most `max_characters`; or, of two languages, rows of `source`, `target` and their languages.

    Pages pair up if their paths differ only in a folder named after the language; blocks that were left untranslated are left out.
    """
    if source_lang and target_lang:
        yield from _translations(files, source_lang, target_lang)
        return
    if max_characters is None:
        raise UserError("reader markdown: neither max_characters nor source_lang and target_lang; give one of them")
    for file in files:
        page = _page(file)
        if isinstance(page, Refused):
            yield page
            continue
        for document in join(prose(page), max_characters, "\n\n"):
            yield {"text": document, "lang": lang}


def prose(page: str) -> list[str]:
    """The headings, items and paragraphs of a page, without markup; code, tables and pictures are none."""
    blocks = (block for section in _sections(FRONT.sub("", page, count=1)) for block in section)
    return [text for kind, written in blocks if kind.startswith(PROSE) and (text := plain(written))]


def _translations(files: Sequence[Path], source_lang: str, target_lang: str) -> Iterator[Row | Refused]:
    sources, targets = (_pages(files, language) for language in (source_lang, target_lang))
    shared = sorted(sources.keys() & targets.keys())
    if not shared:
        raise UserError(f"reader markdown: no page is there in both {source_lang} and {target_lang}; name the files of both")
    script = SCRIPTS.get(target_lang, LETTER)
    for page in shared:
        texts = _page(sources[page]), _page(targets[page])
        if refused := next((text for text in texts if isinstance(text, Refused)), None):
            yield refused
            continue
        for source, target in pairs(*map(str, texts)):
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
    if len(markdown) > LONGEST_BLOCK:
        return markdown.strip()
    for pattern, replacement in MARKUP:
        markdown = pattern.sub(replacement, markdown)
    return html.unescape(markdown).strip()


def _page(file: Path) -> str | Refused:
    return Refused(file.name, f"longer than {LONGEST_PAGE:,} bytes") if file.stat().st_size > LONGEST_PAGE else text_of(file)


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
        elif kind == "text" and continued and len(sections[-1][-1][1]) < LONGEST_BLOCK:
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
