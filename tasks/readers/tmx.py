"""Translation memories (TMX 1.4) in; sentence pairs of two languages out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from tasks.intake.xml_items import elements_of
from tasks.readers import Refused, Row

CODES = {"bpt", "ept", "ph", "it", "ut"}  # elements that hold markup of the translated file, not words


def read(files: Sequence[Path], source_lang: str, target_lang: str) -> Iterator[Row | Refused]:
    """Rows of `source`, `target` and their languages; `en` stands for `en-GB` too. Units without both languages are refused."""
    for file in files:
        for number, unit in enumerate(elements_of(file, "tu"), 1):
            if isinstance(unit, Refused):
                yield unit
                continue
            texts = {_language(variant): _words(variant.find("seg")) for variant in unit.findall("tuv")}
            source, target = (_of_language(texts, language) for language in (source_lang, target_lang))
            if source and target:
                yield {"source": source, "target": target, "source_lang": source_lang, "target_lang": target_lang}
            else:
                yield Refused(f"{file.name}, unit {number}", f"no text in {target_lang if source else source_lang}")


def _language(variant: Element) -> str:
    return (variant.get("xml:lang") or variant.get("lang") or "").casefold()


def _of_language(texts: dict[str, str], language: str) -> str:
    wanted = language.casefold()
    return texts.get(wanted) or next((text for found, text in texts.items() if found.partition("-")[0] == wanted), "")


def _words(segment: Element | None) -> str:
    if segment is None:
        return ""
    inner = "".join(("" if child.tag in CODES else _words(child)) + (child.tail or "") for child in segment)
    return ((segment.text or "") + inner).strip() if segment.tag == "seg" else (segment.text or "") + inner
