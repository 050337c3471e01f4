"""The page of the report: it stands alone, and a text in it is only text."""

from tasks.cleaning import report as quality_report

STEP = {"step": "length", "in": 3, "out": 2, "removed": 1, "changed": 0, "reasons": {"<i>": 1}, "found": {}, "samples": []}
SIDE = {"documents": 3, "characters": 70, "lengths": {"16": 1, "64": 2}, "sources": {"<b>a": {"documents": 3, "characters": 70}}}
REPORT = {
    "corpus": {
        "steps": [STEP | {"samples": [{"why": "too short", "text": "<script>alert(1)</script>"}, {"before": "a\t", "after": "a"}]}],
        "in": SIDE | {"languages": {"en": {"documents": 3, "characters": 70}}},
        "out": SIDE | {"languages": {"en": {"documents": 2, "characters": 60}}},
        "groups": {"duplicates": {2: 4, 7: 1, 9: 2}, "near_duplicates": {}},
    },
    "applications": {"qa": {split: [STEP | {"step": "test_splits"}] for split in ("test", "validation", "train")}},
}


def test_texts_are_escaped_and_nothing_is_fetched():
    page = quality_report.page(REPORT)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;a" in page
    for taboo in ("<script", "<i>:", "<b>a<", "http:", "https:", "src=", "url(", "@import"):
        assert taboo not in page


def test_a_page_has_pictures_and_is_the_same_each_time():
    page = quality_report.page(REPORT)
    assert page.count("<figure>") == 4
    assert "2 documents, equal" in page
    assert "6 or more documents, equal: 0 before, 3 after" in page
    assert page == quality_report.page(REPORT)


def test_a_report_without_documents_or_steps_is_a_page_too():
    nothing = {"documents": 0, "characters": 0, "lengths": {}, "sources": {}, "languages": {}}
    corpus = {"steps": [], "in": nothing, "out": nothing, "groups": {"duplicates": {}, "near_duplicates": {}}}
    assert "There were none" in quality_report.page({"corpus": corpus, "applications": {}})
