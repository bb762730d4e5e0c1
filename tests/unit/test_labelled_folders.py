"""Labelled sets are read with errors that name the line, and metrics are what they are called."""

from __future__ import annotations

import math
from pathlib import Path
from uuid import UUID

import pytest

from rag.errors import InvalidInput
from rag.evaluation.folder_scoring import char_recall, evaluate, measure_documents
from rag.evaluation.labelled_folders import LabelledQuestion, Passage, read_set
from rag.records import Hit

SHARED = Path(__file__).parents[2].parent / "shared" / "eval"

FILES = {
    "corpus.jsonl": [
        '{"id": "d1", "title": "One", "text": "abcdefghij"}',
        '{"id": "d2", "title": "", "text": "klmno"}',
    ],
    "queries.jsonl": ['{"id": "q1", "text": "first?"}', '{"id": "q2", "text": "second?"}'],
    "qrels.tsv": ["query_id\tdoc_id\trelevance", "q1\td1\t1", "q1\td2\t0", "q2\td2\t2"],
    "spans.jsonl": ['{"query_id": "q1", "doc_id": "d1", "start": 2, "end": 5, "text": "cde"}'],
}


def write_set(folder: Path, **changes: list[str] | None) -> Path:
    for name, lines in (FILES | {key.replace("_", "."): value for key, value in changes.items()}).items():
        if lines is not None:
            (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def make_hit(rank: int, document: str, start: int, end: int) -> Hit:
    return Hit(rank, rank, UUID(int=rank), document, None, 1, None, start, end, [], "", 0.5, None, 0.5, rank, None)


def test_a_set_is_read(tmp_path: Path) -> None:
    found = read_set(write_set(tmp_path))
    assert [document.id for document in found.documents] == ["d1", "d2"]
    assert found.questions == [
        LabelledQuestion("q1", "first?", {"d1": 1}, [Passage("d1", 2, 5)]),
        LabelledQuestion("q2", "second?", {"d2": 2}),
    ]
    assert found.has_excerpts


def test_a_set_without_excerpts_or_with_an_unjudged_question(tmp_path: Path) -> None:
    found = read_set(write_set(tmp_path, spans_jsonl=None, qrels_tsv=["q2\td2\t1"]))
    assert [question.id for question in found.questions] == ["q2"]
    assert not found.has_excerpts


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("corpus.jsonl", None, "corpus.jsonl is missing"),
        ("corpus.jsonl", ["{}"], 'corpus.jsonl, line 1: "id" is missing'),
        ("corpus.jsonl", [FILES["corpus.jsonl"][0], '{"id": "d2"}'], 'corpus.jsonl, line 2: "text" is missing'),
        ("corpus.jsonl", [FILES["corpus.jsonl"][0]] * 2, "names a document twice"),
        ("queries.jsonl", ["not json"], "queries.jsonl, line 1: this is not JSON"),
        ("queries.jsonl", ["[1]"], "queries.jsonl, line 1: this is not a JSON object"),
        ("qrels.tsv", ["h h h", "q1 d1 1"], "qrels.tsv, line 2: a line has a question, a document and a relevance"),
        ("qrels.tsv", ["h\th\th", "q1\td1"], "qrels.tsv, line 2: a line has"),
        ("qrels.tsv", ["q9\td1\t1"], "line 1: there is no question 'q9'"),
        ("qrels.tsv", ["q1\td9\t1"], "line 1: there is no document 'd9'"),
        ("qrels.tsv", ["q1\td1\t1", "q1\td2\tyes"], "line 2: the relevance is a whole number"),
        ("qrels.tsv", ["q1\td1\t0"], "No question in"),
        ("spans.jsonl", ['{"query_id": "q1", "doc_id": "d9", "start": 0, "end": 1}'], "line 1: it names a question or"),
        ("spans.jsonl", ['{"query_id": "q1", "doc_id": "d1", "start": 4, "end": 40}'], "line 1: start and end"),
        ("spans.jsonl", [FILES["spans.jsonl"][0].replace("cde", "xyz")], "line 1: the text is not what"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, name: str, lines: list[str] | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_set(write_set(tmp_path, **{name.replace(".", "_"): lines}))


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "queries.jsonl").write_bytes(b'{"id": "q1", "text": "caf\xe9"}')
    with pytest.raises(InvalidInput, match=r"queries\.jsonl is not UTF-8"):
        read_set(tmp_path)


def test_metrics_by_hand() -> None:
    metrics = measure_documents({"q1": ["x", "a", "y", "b"], "q2": []}, {"q1": {"a": 1, "b": 1}, "q2": {"c": 1}})
    ideal = 1 + 1 / math.log2(3)
    assert metrics.ndcg_10 == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal / 2)
    assert metrics.recall_10 == pytest.approx(0.5)
    assert metrics.mrr_10 == pytest.approx(0.25)


def test_recall_looks_ten_and_a_hundred_deep() -> None:
    ranked = [f"d{n:03}" for n in range(150)]
    metrics = measure_documents({"q": ranked}, {"q": {"d009": 1, "d010": 1, "d099": 1, "d100": 1}})
    assert metrics.recall_10 == pytest.approx(0.25)
    assert metrics.recall_100 == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("ranked", "budget", "expected"),
    [
        ([Passage("d", 0, 10)], 100, 0.5),
        ([Passage("d", 0, 10), Passage("d", 10, 30)], 100, 1.0),
        ([Passage("d", 0, 10), Passage("d", 10, 30)], 14, 0.9),
        ([Passage("d", 0, 10), Passage("d", 0, 10), Passage("d", 10, 30)], 20, 0.5),
        ([Passage("other", 0, 10)], 100, 0.0),
        ([], 100, 0.0),
    ],
)
def test_char_recall_cuts_at_the_budget(ranked: list[Passage], budget: int, expected: float) -> None:
    excerpts = [Passage("d", 5, 12), Passage("d", 10, 15)]
    assert char_recall(ranked, excerpts, budget) == pytest.approx(expected)


def test_a_document_ranks_where_its_best_chunk_does() -> None:
    questions = [LabelledQuestion("q", "?", {"b": 1}, [Passage("b", 0, 100)])]
    hits = [make_hit(1, "a.txt", 0, 50), make_hit(2, "a.txt", 50, 90), make_hit(3, "b.txt", 0, 40)]
    seen: list[int] = []
    metrics = evaluate(questions, lambda _: hits, lambda hit: hit.document.removesuffix(".txt"), seen.append)
    assert metrics.mrr_10 == pytest.approx(0.5)
    assert metrics.to_json()["char_recall@4000"] == pytest.approx(0.4)
    assert list(metrics.to_json()) == [
        "ndcg@10",
        "recall@10",
        "recall@100",
        "mrr@10",
        "char_recall@4000",
        "char_recall@8000",
    ]
    assert seen == [1]


@pytest.mark.parametrize(("name", "documents", "questions"), [("cranfield", 1398, 225), ("chunking_eval", 2, 220)])
def test_the_shared_sets_can_be_read(name: str, documents: int, questions: int) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the evaluation set {name} is not on this machine")
    found = read_set(SHARED / name)
    assert (len(found.documents), len(found.questions)) == (documents, questions)
    assert found.has_excerpts == (name == "chunking_eval")
