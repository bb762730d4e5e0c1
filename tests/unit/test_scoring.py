"""Metrics with known answers, and the same as trec_eval's on real judgements."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
import pytrec_eval

from rag.evaluation.judgements import Judgement
from rag.evaluation.scoring import DEPTH, RunHit, Truth, rank, returned, score_characters, score_questions, summarise

SHARED = Path(__file__).parents[2].parent / "shared" / "eval"
A, B, C = (str(UUID(int=n)) for n in (1, 2, 3))
PIECE = 400


def hit(document: str, chunk: int, similarity: float | None = 0.5, start: int = 0, end: int = 10) -> RunHit:
    return RunHit(document, start, end, chunk, similarity, 1.0)


def whole(document: str, grade: int) -> Judgement:
    return Judgement(UUID(document), None, None, grade)


def span(document: str, start: int, end: int, grade: int = 1) -> Judgement:
    return Judgement(UUID(document), start, end, grade)


def test_documents_rank_where_their_best_passage_does() -> None:
    hits = [hit(B, 1), hit(A, 2), hit(B, 3), hit(C, 4)]
    assert rank(hits, "document") == [B, A, C]
    scores = score_questions({7: hits}, Truth({7: [whole(A, 1)]}, {}), k=2, threshold=None)[7]
    assert scores == pytest.approx(
        {
            "document:ndcg@10": 1 / 1.584962500721156,
            "document:mrr": 0.5,
            "document:map": 0.5,
            "document:recall@k": 1.0,
            "document:precision@k": 0.5,
            "document:hit@k": 1.0,
        }
    )


def test_k_cuts_what_is_returned_and_not_the_order() -> None:
    hits = [hit(B, 1), hit(C, 2), hit(A, 3)]
    scores = score_questions({7: hits}, Truth({7: [whole(A, 1)]}, {}), k=2, threshold=None)[7]
    assert scores["document:recall@k"] == scores["document:hit@k"] == 0
    assert scores["document:mrr"] == pytest.approx(1 / 3)


def test_what_is_below_the_threshold_is_nowhere() -> None:
    hits = [hit(B, 1, 0.2), hit(A, 2, 0.6), hit(C, 3, 0.4)]
    scores = score_questions({7: hits}, Truth({7: [whole(A, 1)]}, {}), k=3, threshold=0.3)[7]
    assert scores["document:mrr"] == 1
    assert scores["document:precision@k"] == 0.5
    assert score_questions({7: hits}, Truth({7: [whole(A, 1)]}, {}), k=3, threshold=0.9)[7]["document:ndcg@10"] == 0


def test_the_threshold_comes_after_the_cut_and_needs_a_similarity() -> None:
    hits = [hit(A, 1, 0.2), hit(B, 2, None), hit(C, 3, 0.9)]
    assert [one.chunk for one in returned(hits, 2, 0.1)] == [1]
    assert [one.chunk for one in returned(hits, None, None)] == [1, 2, 3]
    assert len(returned([hit(A, 1, None), hit(B, 2, None)], 5, 0.9)) == 2
    # What the database compares is a float of four bytes.
    assert len(returned([hit(A, 1, 0.35)], 1, 0.35)) == 1


def test_grades_count_and_irrelevant_is_not_unjudged() -> None:
    truth = Truth({7: [whole(A, 3), whole(B, 1), whole(C, 0)]}, {})
    best = score_questions({7: [hit(A, 1), hit(B, 2), hit(C, 3)]}, truth, k=3, threshold=None)[7]
    worse = score_questions({7: [hit(B, 2), hit(A, 1), hit(C, 3)]}, truth, k=3, threshold=None)[7]
    assert best["document:ndcg@10"] == 1
    assert worse["document:ndcg@10"] == pytest.approx((1 + 3 / 1.584962500721156) / (3 + 1 / 1.584962500721156))
    assert best["document:precision@k"] == pytest.approx(2 / 3)


def test_nothing_found_scores_nothing_and_nothing_judged_has_no_score() -> None:
    scores = score_questions({7: [], 8: [hit(A, 1)]}, Truth({7: [whole(A, 1)]}, {}), k=3, threshold=None)
    assert set(scores[7].values()) == {0.0}
    assert scores[8] == {}


def test_passages_are_measured_where_each_question_has_a_span() -> None:
    spans = {7: [span(A, 0, 5)], 8: [span(B, 0, 5), whole(C, 1)]}
    chunks = {7: {1: 1}, 8: {2: 1, 3: 1}}
    assert Truth(spans, chunks).unit == "passage"
    assert Truth(spans | {9: [whole(A, 1)]}, chunks).unit == "document"
    # Judged irrelevant by span is no answer that could be found.
    assert Truth(spans | {9: [span(A, 0, 5, 0)]}, chunks).unit == "passage"
    assert Truth({}, {}).unit == "document"
    scores = score_questions({7: [hit(A, 9), hit(A, 1)]}, Truth(spans, chunks), k=5, threshold=None)[7]
    assert scores["document:mrr"] == 1
    assert scores["passage:mrr"] == 0.5


def test_an_answer_that_no_chunk_holds_any_more_is_not_found() -> None:
    scores = score_questions({7: [hit(A, 1)]}, Truth({7: [span(A, 0, 5)]}, {}), k=5, threshold=None)[7]
    assert scores.get("passage:recall@k", 0.0) == 0


def test_characters_count_once_however_often_they_are_returned() -> None:
    found = [hit(A, 1, start=0, end=10), hit(A, 2, start=5, end=15), hit(B, 3, start=0, end=5)]
    scores = score_characters(found, {A: [(10, 20), (12, 20)], C: [(0, 10)]})
    assert scores == pytest.approx({"char_recall": 5 / 20, "char_precision": 5 / 20, "char_iou": 5 / 35})
    assert score_characters([], {A: [(0, 5)]}) == {"char_recall": 0, "char_precision": 0, "char_iou": 0}


def test_a_summary_has_means_and_quantiles() -> None:
    found = summarise({1: {"a": 1.0, "b": 0.0}, 2: {"a": 0.0}}, [10.0, 20.0, 30.0])
    assert (found["a"].mean, found["a"].n) == (0.5, 2)
    assert (found["b"].mean, found["b"].n) == (0.0, 1)
    assert found["latency_p50"].mean == 20
    assert set(summarise({}, [])) == set()


# The same as trec_eval ----------------------------------------------------------------------------------------------


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[a-z]{3,}", text.lower()))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def read(folder: Path) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]]]:
    texts = {row["id"]: row["text"] for row in rows(folder / "corpus.jsonl")}
    asked = {row["id"]: row["text"] for row in rows(folder / "queries.jsonl")}
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels.tsv").open(encoding="utf-8") as lines:
        for query, document, grade in list(csv.reader(lines, delimiter="\t"))[1:]:
            grades[query][document] = int(grade)
    return texts, asked, grades


def overlaps(question: str, names: Mapping[str, Counter[str]]) -> list[str]:
    """A poor search, and the same everywhere: shared words for the root of the length."""
    wanted = words(question)
    scores = {
        name: sum(min(found[word], 3) for word in wanted) / (sum(found.values()) + 40) ** 0.5
        for name, found in names.items()
    }
    return sorted(scores, key=lambda name: (-scores[name], name))[: DEPTH + 20]


def check(
    graded: dict[str, dict[str, int]],
    ranked: dict[str, list[str]],
    cut: dict[str, list[str]],
    ours: dict[str, dict[str, float]],
) -> None:
    def scored(run: dict[str, list[str]]) -> dict[str, dict[str, float]]:
        return {query: {name: -float(n) for n, name in enumerate(names)} for query, names in run.items()}

    order = pytrec_eval.RelevanceEvaluator(graded, {"ndcg_cut.10", "recip_rank", "map"}).evaluate(scored(ranked))
    whole_set = pytrec_eval.RelevanceEvaluator(graded, {"set_P", "set_recall", "success.10"}).evaluate(scored(cut))
    assert len(order) == len(ours) > 50
    for query, mine in ours.items():
        theirs = order[query] | whole_set[query]
        names = {
            "ndcg@10": "ndcg_cut_10",
            "mrr": "recip_rank",
            "map": "map",
            "recall@k": "set_recall",
            "precision@k": "set_P",
            "hit@k": "success_10",
        }
        assert mine == pytest.approx({name: theirs[trec] for name, trec in names.items()}, abs=1e-6)
    assert 0.05 < sum(mine["ndcg@10"] for mine in ours.values()) / len(ours) < 0.95


@pytest.mark.skipif(not (SHARED / "cranfield").exists(), reason="../shared/eval/cranfield is not beside this checkout")
def test_by_document_the_metrics_equal_those_of_trec_eval_on_cranfield() -> None:
    texts, asked, grades = read(SHARED / "cranfield")
    identity = {name: str(uuid5(NAMESPACE_URL, name)) for name in texts}
    indexed = {name: words(text) for name, text in texts.items()}
    numbers = {
        query: n for n, query in enumerate(list(asked)[::3], start=1) if any(g > 0 for g in grades[query].values())
    }
    hits = {
        number: [hit(identity[name], n) for n, name in enumerate(overlaps(asked[query], indexed))]
        for query, number in numbers.items()
    }
    judged = {
        number: [whole(identity[name], min(grade, 3)) for name, grade in grades[query].items() if grade >= 0]
        for query, number in numbers.items()
    }
    scores = score_questions(hits, Truth(judged, {}), k=10, threshold=None)
    graded = {str(n): {str(j.document_id): j.grade for j in some} for n, some in judged.items()}
    ranked = {str(n): [one.document for one in found[:DEPTH]] for n, found in hits.items()}
    cut = {query: names[:10] for query, names in ranked.items()}
    ours = {str(n): {name.removeprefix("document:"): v for name, v in some.items()} for n, some in scores.items()}
    check(graded, ranked, cut, ours)


@pytest.mark.skipif(
    not (SHARED / "chunking_eval").exists(), reason="../shared/eval/chunking_eval is not beside this checkout"
)
def test_by_passage_the_metrics_equal_those_of_trec_eval_on_chunking_eval() -> None:
    texts, asked, _ = read(SHARED / "chunking_eval")
    identity = {name: str(uuid5(NAMESPACE_URL, name)) for name in texts}
    pieces = {
        f"{name}/{start}": (name, start, min(start + PIECE, len(text)))
        for name, text in texts.items()
        for start in range(0, len(text), PIECE)
    }
    indexed = {piece: words(texts[name][start:end]) for piece, (name, start, end) in pieces.items()}
    numbers = {piece: n for n, piece in enumerate(pieces, start=1)}
    spans: dict[int, list[Judgement]] = defaultdict(list)
    chunks: dict[int, dict[int, int]] = defaultdict(dict)
    questions = {query: n for n, query in enumerate(sorted(asked)[:120], start=1)}
    for row in rows(SHARED / "chunking_eval" / "spans.jsonl"):
        if (question := questions.get(row["query_id"])) is not None:
            spans[question].append(span(identity[row["doc_id"]], row["start"], row["end"]))
            for start in range(row["start"] // PIECE * PIECE, row["end"], PIECE):
                chunks[question][numbers[f"{row['doc_id']}/{start}"]] = 1
    hits = {
        question: [
            RunHit(identity[pieces[p][0]], pieces[p][1], pieces[p][2], numbers[p], 0.5, 1.0)
            for p in overlaps(asked[query], indexed)
        ]
        for query, question in questions.items()
        if question in spans
    }
    truth = Truth(spans, chunks)
    assert truth.unit == "passage"
    scores = score_questions(hits, truth, k=10, threshold=None)
    graded = {str(n): {str(chunk): grade for chunk, grade in some.items()} for n, some in chunks.items()}
    ranked = {str(n): [str(one.chunk) for one in found[:DEPTH]] for n, found in hits.items()}
    cut = {query: names[:10] for query, names in ranked.items()}
    ours = {
        str(n): {k.removeprefix("passage:"): v for k, v in some.items() if k.startswith("passage:")}
        for n, some in scores.items()
    }
    check(graded, ranked, cut, ours)
    assert all(0 <= some["char_iou"] <= min(some["char_recall"], some["char_precision"]) for some in scores.values())
