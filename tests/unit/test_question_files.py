"""Files of labelled questions: every layout is read, and each row that can't be used is named with its line."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from rag.errors import InvalidInput
from rag.evaluation.phrases import find_all, find_phrase
from rag.evaluation.set_files import read_files
from rag.evaluation.set_rows import ReadSet, parse_grade
from rag.reading.readers import read_document
from rag.reading.textfiles import clean

EVAL = Path(__file__).parents[2].parent / "shared" / "eval"


def read(**files: str) -> ReadSet:
    """Files by their names, in which ``__`` stands for the dot."""
    return read_files([(name.replace("__", "."), text.encode()) for name, text in files.items()])


def problems(found: ReadSet) -> list[tuple[str, int | None, str]]:
    return [(problem.file, problem.line, problem.text) for problem in found.problems]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_has_a_row_for_each_judgement(delimiter: str) -> None:
    rows = ["Question|Document|Phrase|Grade", "How long?|pump.md|27 months|3", "how  LONG?|lake.txt||0", "Why?|||"]
    found = read(set__csv="\n".join(rows).replace("|", delimiter))
    assert [question.text for question in found.questions] == ["How long?", "Why?"]
    assert [(one.document, one.phrase, one.grade, one.line) for one in found.questions[0].judgements] == [
        ("pump.md", "27 months", 3, 2),
        ("lake.txt", "", 0, 3),
    ]
    assert found.problems == []


def test_rows_that_cannot_be_used_are_named_by_line_and_the_others_go_on() -> None:
    table = (
        'question,document,phrase,start,end,grade\n"a question\nover two lines",a.txt,,,,1\n,a.txt,,,,1\n'
        "good?,a.txt,,,,7\ngood?,a.txt,,9,3,1\ngood?,a.txt,,4,x,1\ngood?,,words,,,1\ngood?,b.txt,,,,2\ngood?,b.txt,,,,2\n"
        "good?,b.txt,,,,3\n"
    )
    found = read(set__csv=table)
    assert [question.text for question in found.questions] == ["a question over two lines", "good?"]
    assert [one.document for one in found.questions[1].judgements] == ["b.txt"]
    assert [line for _, line, _ in problems(found)] == [4, 5, 6, 7, 8, 11]
    assert "0 to 3, not “7”" in found.problems[1].text
    assert "names no document" in found.problems[4].text
    assert "another grade" in found.problems[5].text
    assert found.repeated == 2


def test_jsonl_has_the_same_columns() -> None:
    lines = [
        {"question": "How long?", "document": "pump.md", "start": 3, "end": 9, "grade": 2, "question_id": "q-1"},
        {"query": "Why?", "doc_id": "pump.md"},
    ]
    found = read(set__jsonl="\n".join(map(json.dumps, lines)) + "\nno json\n[1]\n")
    assert [(one.start, one.end, one.grade) for one in found.questions[0].judgements] == [(3, 9, 2)]
    assert found.questions[0].external_id == "q-1"
    assert found.questions[1].judgements[0].grade == 1
    assert [(line, "JSON" in text) for _, line, text in problems(found)] == [(3, True), (4, True)]


def test_a_guard_against_formulas_is_taken_off_again() -> None:
    found = read(set__csv="question,document,phrase\n'=1+1?,a.txt,'-5 degrees\n'quoted',a.txt,x\n")
    assert [question.text for question in found.questions] == ["=1+1?", "'quoted'"]
    assert found.questions[0].judgements[0].phrase == "-5 degrees"


QUERIES = '{"_id": "1", "text": "How long?"}\n{"id": 2, "text": "Why?"}\n'


@pytest.mark.parametrize(
    "qrels",
    [
        "query-id\tcorpus-id\tscore\n1\td1\t1\n2\td2\t2\n",  # BEIR
        "1\td1\t1\n2\td2\t2\n",
        "1 0 d1 1\n2 0 d2 2\n",  # TREC
        "1\t0\td1\t1\r\n2\t0\td2\t2\r\n",
    ],
)
def test_qrels_of_either_kind_with_and_without_a_header(qrels: str) -> None:
    found = read(queries__jsonl=QUERIES, qrels__tsv=qrels)
    assert [(q.text, q.external_id, q.judgements[0].document, q.judgements[0].grade) for q in found.questions] == [
        ("How long?", "1", "d1", 1),
        ("Why?", "2", "d2", 2),
    ]
    assert found.problems == []


def test_problems_of_qrels() -> None:
    qrels = "query_id\tdoc_id\trelevance\n9\td1\t1\n1\td1\n1\td1\t4\n1\td2\t-1\n1\td2\t1\n2\td1\tx\n"
    found = read(queries__jsonl=QUERIES + '{"text": "no id"}\n{"_id": "1", "text": "again"}\n', qrels__tsv=qrels)
    assert [(file, line) for file, line, _ in problems(found)] == [
        ("queries.jsonl", 3),
        ("queries.jsonl", 4),
        *(("qrels.tsv", line) for line in (2, 3, 4, 6, 7)),
    ]
    assert [(one.document, one.grade) for one in found.questions[0].judgements] == [("d2", 0)]


def test_passages_say_more_than_whole_documents() -> None:
    spans = [
        {"query_id": "1", "doc_id": "d1", "start": 0, "end": 4, "text": "Long"},
        {"query_id": "1", "doc_id": "d1", "start": 6, "end": 9, "grade": 3},
        {"query_id": "8", "doc_id": "d1", "start": 6, "end": 9},
    ]
    found = read(
        corpus__jsonl='{"_id": "d1", "title": "One", "text": "Long ago."}\n{"_id": "d1", "text": ""}\n{"text": "x"}\n',
        queries__jsonl=QUERIES,
        qrels__tsv="1\td1\t2\n1\td2\t1\n",
        spans__jsonl="\n".join(map(json.dumps, spans)),
    )
    assert [(one.document, one.start, one.grade) for one in found.questions[0].judgements] == [
        ("d1", 0, 2),
        ("d1", 6, 3),
        ("d2", None, 1),
    ]
    assert found.documents["d1"].title == "One"
    assert [(file, line) for file, line, _ in problems(found)] == [
        ("corpus.jsonl", 2),
        ("corpus.jsonl", 3),
        ("spans.jsonl", 3),
    ]


def pack(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("___", "/").replace("__", "."), text)
    return out.getvalue()


def test_a_zip_stands_for_what_is_in_it() -> None:
    packed = pack(
        scifact___queries__jsonl=QUERIES,
        scifact___qrels___test__tsv="query-id\tcorpus-id\tscore\n1\td1\t1\n",
        __MACOSX___x="junk",
    )
    assert read_files([("scifact.zip", packed)]).judgements == 1


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.zip", b"PK\x03\x04 no zip", "can't be unpacked"),
        ("a.pdf", b"%PDF", "None of these files"),
        ("queries.jsonl", QUERIES.encode(), "no judgements"),
        ("a.csv", bytes(range(256)) * 20, "not text"),
    ],
)
def test_files_that_are_none_of_these_are_refused_in_words(name: str, data: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_files([(name, data)])


def test_a_bomb_is_not_unpacked() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("corpus.jsonl", b"0" * (301 * 2**20))
    with pytest.raises(InvalidInput, match="300 MB"):
        read_files([("bomb.zip", out.getvalue())])


def test_a_table_without_questions_says_so() -> None:
    assert "no column “question”" in read(set__csv="frage,dokument\nWarum?,a.txt\n").problems[0].text


@pytest.mark.parametrize(
    ("said", "grade"),
    [("2", 2), (" 1.0 ", 1), (3, 3), ("-2", 0), ("", 1), ("yes", 1), ("irrelevant", 0), (True, 1), ("4", None)],
)
def test_grades(said: object, grade: int | None) -> None:
    assert parse_grade(said) == grade


def test_phrases_are_found_whatever_their_form() -> None:
    text = "He said “It isn’t\n  so” – twice.\nHe said nothing."
    assert find_phrase(text, '"it isn\'t so" - twice') == (8, 31)
    assert find_all(text, "He said") == [(0, 7), (33, 40)]
    assert find_phrase(text, "He said", near=40) == (33, 40)
    assert find_phrase(text, "She said") is None
    assert find_all("a.b", "a.b") == find_all("a.b axb", "a.b")


@pytest.mark.skipif(not EVAL.exists(), reason="the shared evaluation files are not beside this checkout")
@pytest.mark.parametrize(("name", "questions", "judgements"), [("cranfield", 225, 1611), ("chunking_eval", 220, 344)])
def test_the_shared_sets_are_read_whole(name: str, questions: int, judgements: int) -> None:
    files = [(path.name, path.read_bytes()) for path in sorted((EVAL / name).iterdir())]
    found = read_files(files)
    assert (len(found.questions), found.judgements, found.problems) == (questions, judgements, [])
    for question in found.questions:
        for one in question.judgements:
            if one.start is not None:
                assert found.documents[one.document].text[one.start : one.end] == one.phrase


@pytest.mark.skipif(not EVAL.exists(), reason="the shared evaluation files are not beside this checkout")
def test_parsing_keeps_what_an_import_stores(tmp_path: Path) -> None:
    """Passages of added documents are located before these are parsed: their text must come out as it went in."""
    files = [(path.name, path.read_bytes()) for path in sorted((EVAL / "chunking_eval").iterdir())]
    for document in [*read_files(files).documents.values()]:
        path = tmp_path / "original"
        path.write_bytes(clean(document.text).encode())
        assert read_document(path, f"{document.id}.txt", 2**20).text == clean(document.text)
