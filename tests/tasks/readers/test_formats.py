"""Each reader on a small file of its format."""

import json
from pathlib import Path

import pytest

from model import applications
from model.errors import UserError
from tasks import tables
from tasks.readers import Refused, names, read
from tasks.readers.grammar import read as grammar
from tasks.readers.markdown import pairs, plain
from tasks.readers.quac import longest_prefix


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def test_a_missing_reader_is_one_line_that_lists_those_there_are():
    with pytest.raises(UserError, match=r"^reader docx: no such reader; there is arrow, .*, or add tasks/readers/docx\.py$"):
        read("docx", [], {})


def test_an_option_that_a_reader_does_not_take_is_one_line():
    with pytest.raises(UserError, match=r"^reader vader: .*'limit'.*; it takes threshold$"):
        read("vader", [], {"threshold": 0.5, "limit": 1})


def test_an_option_of_the_wrong_type_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^reader text: max_characters: input should be a valid integer, .*, got 'many'; change it$"):
        read("text", [], {"max_characters": "many"})


def test_a_new_input_format_costs_one_file():
    new = Path(__file__).parents[3] / "tasks" / "readers" / "trial_format.py"
    new.write_text("def read(files, mark):\n    for file in files:\n        yield {'text': file.read_text() + mark}\n")
    try:
        assert "trial_format" in names()
        assert list(read("trial_format", [write(new.parent.parent.parent / ".stemma", "trial.txt", "hello")], {"mark": "!"})) == [
            {"text": "hello!"}
        ]
    finally:
        new.unlink()


def test_text_becomes_documents_of_whole_paragraphs(tmp_path):
    file = write(tmp_path, "speech.txt", "One.\n\nTwo.\r\n\r\nThree is longer.\n")
    assert [row["text"] for row in read("text", [file], {"max_characters": 12, "lang": "en"})] == ["One.\n\nTwo.", "Three is longer."]


def test_lines_in_another_encoding_are_refused_by_number(tmp_path):
    file = tmp_path / "latin.txt"
    file.write_bytes("café".encode("latin-1"))
    reason = "not utf-8-sig at byte 3; give its encoding, such as --option encoding=gb18030"
    assert list(read("text", [file], {"max_characters": 100})) == [Refused("latin.txt:1", reason)]
    assert list(read("text", [file], {"max_characters": 100, "encoding": "latin-1"})) == [{"text": "café", "lang": None}]


def test_columns_that_cannot_be_read_are_told_with_the_encoding(tmp_path):
    file = tmp_path / "评论.csv"
    file.write_bytes("内容,标签\n好,1\n".encode("gb18030"))
    with pytest.raises(UserError, match=r"^评论\.csv:1: not utf-8-sig at byte 0; give its encoding, such as --option encoding=gb18030$"):
        list(read("csv", [file], {"columns": {"text": "内容"}}))
    with pytest.raises(UserError, match=r"not utf8 at byte 0; .* encoding=gb18030$"):
        list(read("csv", [file], {"columns": {"text": "内容"}, "encoding": "utf8"}))
    with pytest.raises(UserError, match=r"such as --option encoding=utf-8$"):
        list(read("csv", [file], {"columns": {"text": "内容"}, "encoding": "ascii"}))
    assert list(read("csv", [file], {"columns": {"text": "内容"}, "encoding": "gb18030"})) == [{"text": "好"}]


def test_tags_are_stripped_from_a_tagged_newspaper(tmp_path):
    file = write(tmp_path, "news.txt", "迈向/v  充满/v  希望/n\n１/m  张/q  ）/w\n\n")
    assert [row["text"] for row in read("tagged", [file], {"max_characters": 100, "lang": "zh"})] == ["迈向充满希望\n１张）"]


def test_lines_are_labelled_by_their_file(tmp_path):
    files = [write(tmp_path, "pos.txt", "很好\n\n"), write(tmp_path, "neg.txt", "不好\n")]
    assert list(read("lines", files, {"labels": {"pos": "positive", "neg": "negative"}})) == [
        {"text": "很好", "label": "positive"},
        {"text": "不好", "label": "negative"},
    ]


def test_json_lines_are_renamed_and_what_is_not_json_is_refused(tmp_path):
    file = write(tmp_path, "rows.jsonl", '{"a": 1, "b": 2}\n{oops\n[1]\n')
    found = list(read("jsonl", [file], {"columns": {"text": "a"}}))
    assert found[0] == {"text": 1}
    assert [refused.where for refused in found[1:]] == ["rows.jsonl:2", "rows.jsonl:3"]


def test_csv_leaves_out_empty_summaries_and_those_that_repeat_the_beginning(tmp_path):
    text = 'id,body,sub\n1,"A long text, quoted.",Short\n2,Some text,\n3,The beginning goes on,the beginning.\n4,"Two\nlines",x\n'
    options = {"columns": {"document": "body", "summary": "sub"}, "filled": ["summary"], "lead": {"summary": "document"}}
    assert list(read("csv", [write(tmp_path, "news.csv", text)], options)) == [
        {"document": "A long text, quoted.", "summary": "Short"},
        {"document": "Two\nlines", "summary": "x"},
    ]


def test_a_csv_without_a_named_column_is_one_line(tmp_path):
    message = r"^news\.csv: no column title; there is id, body; `--column text=NAME` says which one is meant"
    file = write(tmp_path, "news.csv", "id,body\n1,x\n")
    with pytest.raises(UserError, match=message):
        list(read("csv", [file], {"columns": {"text": "title"}}))
    with pytest.raises(UserError, match=rf"{message}$"):  # the first line is no row
        list(read("csv", [file], {"columns": {"id": "id", "text": "title"}}))


def test_a_csv_without_a_header_is_told_how_to_name_its_columns_and_then_read_from_its_first_line(tmp_path):
    file = write(tmp_path, "rooms.csv", "房间非常干净,positive\n太吵,negative\n")
    message = r"^rooms\.csv: no column label, text; there is 房间非常干净, positive; .* is a row already, .*'header=\[text, label\]'$"
    columns = {"text": "text", "label": "label"}
    with pytest.raises(UserError, match=message):
        list(read("csv", [file], {"columns": columns}))
    assert list(read("csv", [file], {"columns": columns, "header": ["text", "label"]})) == [
        {"text": "房间非常干净", "label": "positive"},
        {"text": "太吵", "label": "negative"},
    ]


def test_missing_columns_of_a_translation_are_told_with_what_gives_each(tmp_path):
    file = write(tmp_path, "a.csv", "en,zh\nx,y\n")
    columns = {name: name for name in ("source", "target", "source_lang", "target_lang")}
    advice = (
        r"`--lang en:zh` says both languages of all rows; `--column source=NAME` says which one is meant; .*'header=\[source, target\]'$"
    )
    with pytest.raises(UserError, match=rf"^a\.csv: no column source, source_lang, target, target_lang; there is en, zh; {advice}"):
        list(read("csv", [file], {"columns": columns}))


def test_parquet_is_read_back(tmp_path):
    import pyarrow as pa

    tables.write(tmp_path / "rows.parquet", [{"text": "a", "other": "b"}], pa.schema([("text", pa.string()), ("other", pa.string())]))
    assert list(read("parquet", [tmp_path / "rows.parquet"], {"columns": {"document": "text"}})) == [{"document": "a"}]


def test_parallel_files_give_pairs_and_must_be_parallel(tmp_path):
    files = [write(tmp_path, "talk.en", "Hello\u2028there.\n\nBye.\n"), write(tmp_path, "talk.zh", "你好。\n\n再见。\n")]
    rows = list(read("moses", files, {"source_lang": "en", "target_lang": "zh"}))
    assert [(row["source"], row["target"]) for row in rows] == [("Hello\u2028there.", "你好。"), ("Bye.", "再见。")]
    write(tmp_path, "talk.zh", "你好。\n")
    with pytest.raises(UserError, match=r"^talk\.en: 3 lines, but talk\.zh has 1; "):
        list(read("moses", files, {"source_lang": "en", "target_lang": "zh"}))


def test_valences_become_labels_at_the_threshold(tmp_path):
    text = "1\t0.5\tNice &amp; warm\r\n2\t-0.5\tBad\r\n3\t0.49\tWell\r\nbroken\r\n"
    found = list(read("vader", [write(tmp_path, "tweets_GroundTruth.txt", text)], {"threshold": 0.5}))
    assert [row["label"] for row in found[:3]] == ["positive", "negative", "neutral"]
    assert found[0]["text"] == "Nice & warm"
    assert found[3] == Refused("tweets_GroundTruth.txt:4", "expected an id, a number and a text between tabs")


def test_squad_questions_keep_their_spans_and_impossible_ones_have_none(tmp_path):
    questions = [
        {"question": " Who? ", "answers": [{"text": "Ada", "answer_start": 0}, {"text": "Ada", "answer_start": 0}]},
        {"question": "When?", "answers": [], "is_impossible": True},
    ]
    content = {"data": [{"paragraphs": [{"context": "Ada wrote it.", "qas": questions}, {"qas": questions}]}]}
    found = list(read("squad", [write(tmp_path, "squad.json", json.dumps(content))], {}))
    assert [row["answers"] for row in found[:2]] == [[{"text": "Ada", "start": 0}], []]
    assert found[0]["question"] == "Who?"
    assert found[2] == Refused("squad.json, paragraph 1", "no 'context'")


def test_answers_in_words_get_the_span_where_they_stand_whole(tmp_path):
    lines = [
        {"passage": "He met Art in Oslo. The art was his.", "question": "Whom?", "answer": ["art", "Nobody."]},
        {"passage": "Started quickly.", "question": "What?", "answer": "art"},
        {"passage": "An unknown man.", "question": "Who?", "answer": "unknown"},
        {"passage": "No answer."},
    ]
    file = write(tmp_path, "test.jsonl", "\n".join(map(json.dumps, lines)))
    found = list(read("passages", [file], {"unanswerable": "unknown"}))
    assert found[0]["answers"] == [{"text": "Art", "start": 7}]
    assert found[1].where == "test.jsonl:4"


def test_a_dialogue_gives_a_row_for_each_question_answered_in_the_passage(tmp_path):
    line = {
        "passage": "In May 1983, she married him, a composer.",
        "question": "question1: what happened?\nquestion2: why?",
        "answer": "possible answers for question1:\nIn May 1983, she married In May 1983\npossible answers for question2:\nCANNOTANSWER",
    }
    found = list(read("quac", [write(tmp_path, "test.jsonl", json.dumps(line))], {}))
    assert found == [
        {"context": line["passage"], "question": "what happened?", "answers": [{"text": "In May 1983, she married", "start": 0}]}
    ]


def test_the_longest_prefix_is_of_whole_words():
    assert longest_prefix("the cathedral stands", "the cat sat") == (0, 3)
    assert longest_prefix("nothing here", "CANNOTANSWER") is None


def test_markup_goes_and_words_stay():
    assert plain('See <a href="x">the **docs**</a>, *path* and `a*b` [here](y){.z}. 🚀') == "See the docs, path and `a*b` here."
    assert plain("使用*路径操作*的\n参数") == "使用路径操作的参数"


def test_blocks_pair_up_only_where_the_structure_around_them_matches():
    english = "# Title\n\nFirst\nparagraph.\n\n```py\ncode\n```\n\nOne.\n\nTwo.\n\n## End\n\n* item\n"
    chinese = "# 标题\n\n第一段。\n\n```py\ncode\n```\n\n只有一段。\n\n## 结束\n\n* 条目\n"
    assert list(pairs(english, chinese)) == [("Title", "标题"), ("First paragraph.", "第一段。"), ("End", "结束"), ("item", "条目")]


def test_pages_pair_up_by_the_folder_of_their_language(tmp_path):
    files = [write(tmp_path, "docs/en/docs/a.md", "# Hi\n\nSame\n"), write(tmp_path, "docs/zh/docs/a.md", "# 你好\n\nSame\n")]
    files.append(write(tmp_path, "docs/en/docs/only.md", "# No\n"))
    rows = list(read("markdown", files, {"source_lang": "en", "target_lang": "zh"}))
    assert rows == [{"source": "Hi", "target": "你好", "source_lang": "en", "target_lang": "zh"}]


def test_a_frame_file_gives_propositions_and_refuses_by_name(tmp_path):
    example = """<example name="ok"><text>She gave him up the book .</text><propbank><rel relloc="1 3">gave up</rel>
        <arg type="ARG0" start="0" end="0">She</arg><arg type="ARG1" start="4" end="5">the book</arg></propbank></example>
        <example name="lost"><text>No verb</text><propbank><arg type="ARG0" start="?" end="?">x</arg></propbank></example>"""
    files = [write(tmp_path, "give.xml", f"<frameset>{example}</frameset>"), write(tmp_path, "torn.xml", "<frameset>")]
    row, *refused = read("propbank", files, {})
    assert row["tags"] == ["B-ARG0", "B-V", "O", "B-C-V", "B-ARG1", "I-ARG1", "O"]
    assert row["predicate"] == 1
    assert [item.where for item in refused] == ["give.xml: lost", "torn.xml"]


def test_the_grammar_gives_the_same_sentences_for_the_same_seed_and_exact_roles():
    rows = list(grammar([], num_sentences=300, seed=1))
    assert rows == list(grammar([], num_sentences=300, seed=1))
    assert rows != list(grammar([], num_sentences=300, seed=2))
    assert not [row for row in rows if applications.load("srl").refuse(row)]
    assert all(row["tags"][row["predicate"]] == "B-V" for row in rows)
    roles = {tag[2:] for row in rows for tag in row["tags"] if tag != "O"}
    assert roles == {"V", "ARG0", "ARG1", "ARG2", "ARGM-LOC", "ARGM-TMP", "R-ARG0", "R-ARG1"}


def test_an_array_in_an_object_gives_its_elements_and_bad_json_refuses_the_rest(tmp_path):
    file = write(tmp_path, "rows.json", '{"version": [1.0, {"a": 1}], "rows": [{"a": 2}]}')
    assert list(read("json", [file], {})) == [Refused("rows.json, item 1", "expected an object, got float"), {"a": 1}]
    write(tmp_path, "rows.json", '[{"a": 1}, {"a": }, {"a": 3}]')
    assert list(read("json", [file], {"columns": {"text": "a"}})) == [
        {"text": 1},
        Refused("rows.json, after item 1", "not JSON: Expecting value; the rest of the file is left out"),
    ]


def test_what_is_nested_too_deeply_is_refused(tmp_path):
    deep = write(tmp_path, "deep.jsonl", '{"a": ' + "[" * 100_000 + "\n" + '{"a": 1}\n')
    assert list(read("jsonl", [deep], {})) == [Refused("deep.jsonl:1", "not JSON: nested too deeply"), {"a": 1}]
    assert "nested too deeply" in next(iter(read("json", [write(tmp_path, "deep.json", "[" * 100_000)], {}))).reason
    entities = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><frameset>&b;</frameset>'
    assert "declares entities" in next(iter(read("propbank", [write(tmp_path, "bomb.xml", entities)], {}))).reason


def test_a_page_gives_its_text_block_by_block_in_whatever_encoding(tmp_path):
    page = (
        "<html><head><title>T</title></head><body><nav>Menu</nav><h1>Über</h1><p>One <b>two</b>\n three<br>four<script>x()</script><li>你好"
    )
    blocks = "Über\n\nOne two three\n\nfour\n\n你好"
    assert list(read("html", [write(tmp_path, "a.html", page)], {"max_characters": 100, "lang": "de"})) == [{"text": blocks, "lang": "de"}]
    (tmp_path / "b.html").write_bytes(b"<meta charset=gb18030><p>" + "你好".encode("gb18030"))
    assert [row["text"] for row in read("html", [tmp_path / "b.html"], {"max_characters": 100})] == ["你好"]
    assert list(read("html", [write(tmp_path, "c.html", "<script>x</script>")], {"max_characters": 9})) == [
        Refused("c.html", "no text in it")
    ]


def test_a_markdown_page_gives_its_prose_without_markup(tmp_path):
    page = "---\ntitle: x\n---\n# A *title*\n\nSome [text](http://x)\ngoes on.\n\n```\ncode\n```\n\n| a | b |\n\n* item\n"
    rows = list(read("markdown", [write(tmp_path, "a.md", page)], {"max_characters": 100}))
    assert rows == [{"text": "A title\n\nSome text goes on.\n\nitem", "lang": None}]


def test_a_translation_memory_gives_pairs_and_refuses_units_without_both(tmp_path):
    unit = '<tu><tuv xml:lang="EN-gb"><seg>Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept>.</seg></tuv>{}</tu>'
    both = unit.format('<tuv xml:lang="zh"><seg>按确定。</seg></tuv>')
    memory = f'<tmx version="1.4"><body>{both}{unit.format("")}</body></tmx>'
    found = list(read("tmx", [write(tmp_path, "a.tmx", memory)], {"source_lang": "en", "target_lang": "zh"}))
    assert found == [
        {"source": "Press OK.", "target": "按确定。", "source_lang": "en", "target_lang": "zh"},
        Refused("a.tmx, unit 2", "no text in zh"),
    ]


def test_columns_of_roles_give_a_proposition_for_each_predicate(tmp_path):
    lines = [
        "#begin document (x); part 000",
        "x 0 0 She PRP * - - - - * (ARG0*) (ARG0*) -",
        "x 0 1 came VBD * come 01 - - * (V*) * -",
        "x 0 2 and CC * - - - - * * * -",
        "x 0 3 sat VBD * sit 02 - - * * (V*) -",
        "x 0 4 right RB * - - - - * * (ARGM-LOC* -",
        "x 0 5 here RB * - - - - * * *) -",
        "",
        "x 0 0 Go VB * go 01 - - * -",
    ]
    first, second, refused = read("conll", [write(tmp_path, "a.conll", "\n".join(lines))], {})
    assert first == {"tokens": "She came and sat right here".split(), "predicate": 1, "tags": ["B-ARG0", "B-V", "O", "O", "O", "O"]}  # noqa: SIM905
    assert second["tags"] == ["B-ARG0", "O", "O", "B-V", "B-ARGM-LOC", "I-ARGM-LOC"]
    assert refused == Refused("a.conll:9", "expected 11 columns, 1 of roles and 1 after them")


def test_a_table_with_a_field_too_many_is_refused_by_line(tmp_path):
    found = list(read("csv", [write(tmp_path, "a.csv", "text,label\na,x\nb, y,z\nc,y\n")], {}))
    assert found == [{"text": "a", "label": "x"}, Refused("a.csv:3", "3 fields, but the header has 2"), {"text": "c", "label": "y"}]


def test_a_quote_that_is_never_closed_is_one_line_with_its_place_and_can_be_read_as_a_character(tmp_path):
    file = write(tmp_path, "a.csv", 'text,label\n"a\nb",x\n"oh what,y\nc,y\n')
    with pytest.raises(UserError, match=r"^a\.csv:4: a quote that opens in this row is never closed; .*--option quoting=none "):
        list(read("csv", [file], {}))
    write(tmp_path, "a.csv", 'text,label\n"oh what,y\nc,y\n')
    assert [row["text"] for row in read("csv", [file], {"quoting": "none"})] == ['"oh what', "c"]


def test_the_lines_between_two_stray_quotes_are_refused_each_and_paragraphs_are_taken(tmp_path):
    honest = '"First.\n\nSecond, ""quoted"".\n\nThird.",good\n'
    between = "".join(f"row {number},good\n" for number in range(1200))
    file = write(tmp_path, "a.csv", f'text,label\n{honest}"stray,good\n{between}end",good\nlast,good\n')
    first, *refused, last = read("csv", [file], {})
    assert (first["text"], last["text"]) == ('First.\n\nSecond, "quoted".\n\nThird.', "last")
    assert [one.where for one in refused] == [f"a.csv:{number}" for number in range(7, 1209)]
    assert {one.reason for one in refused} == {
        "a quote opened in line 7 holds 1202 lines: close it, or say --option quoting=none or max_lines=N"
    }
    assert len(list(read("csv", [file], {"max_lines": 1202}))) == 3
    write(tmp_path, "a.csv", 'text,label\n"stray,good\na,good\n"stray,good\nlast,good\n')
    *refused, last = read("csv", [file], {})
    assert [one.where for one in refused] == ["a.csv:2", "a.csv:3", "a.csv:4"]
    assert refused[0].reason == "a quote opened in line 2 ends in line 4 within a field: close it, or say --option quoting=none"
    assert last == {"text": "last", "label": "good"}
