"""HTML pages in; documents of their text, block by block, out."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.intake.lines import LONGEST, TOO_LONG
from tasks.readers import Refused, Row
from tasks.readers.text import join

SILENT = {"script", "style", "noscript", "template", "head", "nav", "footer", "svg", "math", "form", "button", "select", "iframe"}
INLINE = {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "dfn", "em", "font", "i", "img", "input", "ins", "del", "kbd", "label"}
INLINE |= {"mark", "q", "ruby", "rp", "rt", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"}


def read(files: Sequence[Path], max_characters: int, lang: str | None = None, encoding: str | None = None) -> Iterator[Row | Refused]:
    """Rows of the corpus; a long page becomes several documents. Without `encoding`, the page's own word for it counts, else UTF-8.

    Left out are navigation, forms, scripts and the like. Damaged markup is read as browsers read it.
    """
    from lxml import etree

    for file in files:
        if file.stat().st_size > LONGEST:
            yield Refused(file.name, TOO_LONG)
            continue
        page = file.read_bytes()
        parser = etree.HTMLParser(target=_Blocks(), encoding=encoding or _utf8(page), huge_tree=True, remove_comments=True, remove_pis=True)
        try:
            parser.feed(page)
            blocks = parser.close()
        except (etree.LxmlError, LookupError, ValueError) as error:
            yield Refused(file.name, f"not HTML: {str(error).partition(chr(10))[0]}")
            continue
        if not blocks:
            yield Refused(file.name, "no text in it")
        for document in join(blocks, max_characters, "\n\n"):
            yield {"text": document, "lang": lang}


def _utf8(page: bytes) -> str | None:
    try:
        page.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return "utf-8"


class _Blocks:
    """Collects the text of each block, white space made single."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._held: list[str] = []
        self._silent = 0  # how many silent elements it is inside

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._silent += tag in SILENT
        if tag not in INLINE:
            self._end_block()

    def end(self, tag: str) -> None:
        self._silent -= tag in SILENT
        if tag not in INLINE:
            self._end_block()

    def data(self, text: str) -> None:
        if not self._silent:
            self._held.append(text)

    def close(self) -> list[str]:
        self._end_block()
        return self.blocks

    def _end_block(self) -> None:
        if text := " ".join("".join(self._held).split()):
            self.blocks.append(text)
        self._held = []
