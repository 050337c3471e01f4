"""An XML file in; its elements of one name out, one at a time: only one of them is in memory."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from tasks.intake.lines import CHUNK, LONGEST, TOO_LONG
from tasks.readers import Refused

DEEPEST = 200  # elements inside each other


def elements_of(file: Path, name: str) -> Iterator[Element | Refused]:
    """The elements called `name`, in order; where the file stops being XML, the rest of it is refused.

    A file that declares entities is refused: what they stand for may be far larger than the file (Steuck 2002), or another file.
    """
    wanted = _Wanted(name)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = wanted.start
    parser.EndElementHandler = wanted.end
    parser.CharacterDataHandler = wanted.data
    parser.EntityDeclHandler = wanted.entity
    with file.open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            try:
                parser.Parse(chunk, not chunk)
                wanted.grow(len(chunk))
            except (expat.ExpatError, ValueError, LookupError) as error:  # the last two: an encoding that Python has not
                yield from wanted.done
                yield Refused(file.name, f"not XML: {error}; the rest of the file is left out")
                return
            yield from wanted.done
            wanted.done.clear()
            if not chunk:
                return


class _Wanted:
    """Builds the elements of one name, and only those."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done: list[Element] = []
        self.depth = 0
        self.size = 0  # bytes read since one was done
        self._builder: TreeBuilder | None = None
        self._begun = 0  # the depth where the present one began

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} elements inside each other")
        if self._builder is None and name == self.name:
            self._builder, self._begun = TreeBuilder(), self.depth
        if self._builder is not None:
            self._builder.start(name, attributes)

    def data(self, text: str) -> None:
        if self._builder is not None:
            self._builder.data(text)

    def end(self, name: str) -> None:
        if self._builder is not None:
            self._builder.end(name)
            if self.depth == self._begun:
                self.done.append(self._builder.close())
                self._builder, self.size = None, 0
        self.depth -= 1

    def entity(self, *declared: object) -> None:
        raise ValueError("it declares entities")

    def grow(self, size: int) -> None:
        self.size += size
        if self._builder is not None and self.size > LONGEST:
            raise ValueError(f"an element is {TOO_LONG}")
