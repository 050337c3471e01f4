"""Boilerplate: lines that many documents of a source share go, all but the first."""

from collections import Counter

from tasks.cleaning.boilerplate import Boilerplate, Lines

RULES = Boilerplate(enabled=True, min_documents=3, min_share=0.1, max_navigation=80)


def rows(*texts, source="web"):
    return [{"text": text, "source": source} for text in texts]


def stripped(documents):
    lines, removed = Lines(RULES), Counter()
    for start in range(0, len(documents), 2):
        lines.count(documents[start : start + 2])
    return [text for start in range(0, len(documents), 2) for text in lines.strip(documents[start : start + 2], removed)], removed


def test_the_first_document_keeps_a_shared_line_and_the_others_lose_it():
    texts, removed = stripped(rows(*(f"Story {number}.\nFrom our own correspondent\nIt ends." for number in range(4))))
    assert texts[0] == "Story 0.\nFrom our own correspondent\nIt ends."
    assert texts[1:] == ["Story 1.", "Story 2.", "Story 3."]
    assert removed == {"From our own correspondent": 3, "It ends.": 3}


def test_a_line_counts_within_its_source_and_a_copy_of_a_document_does_not_count():
    documents = rows("One.\nSame", "Two.\nSame") + rows("Three.\nSame", source="books") + rows(*["Copy.\nCopied line"] * 5)
    assert stripped(documents)[0] == [row["text"] for row in documents]


def test_navigation_and_cookie_notices_go_if_the_line_is_short():
    long = f"She said that the cookie policy {'of the house ' * 8}was hers."
    texts, _ = stripped(rows(f"A text.\n\nRead our Cookie Policy\n\nIts end.\n{long}", "正文。\n上一篇：旧闻\n版权所有 © 2024"))
    assert texts == [f"A text.\n\nIts end.\n{long}", "正文。"]


def test_lines_without_letters_stay():
    documents = rows(*(f"Part {number}\n* * *\nmore {number}" for number in range(5)))
    assert stripped(documents)[0] == [row["text"] for row in documents]
