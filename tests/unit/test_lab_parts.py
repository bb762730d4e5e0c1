"""Pieces of the Search lab without a page: pairs of two searches, the histogram's drawing, verdicts, cards, clicks."""

from __future__ import annotations

import re
from dataclasses import replace
from uuid import UUID

import pytest

from pages.parts.hit_actions import Action, read_action
from pages.parts.hit_cards import CSV_COLUMNS, Look, cards_html, csv_rows
from pages.parts.lab_comparison import CSV_COLUMNS as COMPARISON_COLUMNS
from pages.parts.lab_comparison import Pair, columns_html, pair_hits, summarise
from pages.parts.lab_comparison import csv_rows as comparison_rows
from pages.parts.lab_histogram import Chart, chart_html, describe
from pages.parts.lab_results import grade_hits
from rag.corpus.baselines import Baseline
from rag.evaluation.judgements import Judgement
from rag.records import Hit
from rag.retrieval.similarities import Histogram

DOCUMENT, OTHER = UUID(int=3), UUID(int=4)


def hit(rank: int, chunk: int, **changes: object) -> Hit:
    made = Hit(
        rank, chunk, DOCUMENT, "pump.md", None, 1, 2, chunk * 100, chunk * 100 + 90, ["A"], f"text {chunk}", 0.5, 2.0,
        0.7, 1, 2, [], 3, None,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_pairs_tell_what_entered_left_moved_and_stayed() -> None:
    pairs = pair_hits([hit(1, 1), hit(2, 3), hit(3, 4)], [hit(1, 1), hit(2, 2), hit(3, 3)])
    assert [(pair.change, (pair.here or pair.there).chunk_id) for pair in pairs] == [  # type: ignore[union-attr]
        ("stayed", 1), ("moved", 3), ("entered", 4), ("left", 2),
    ]  # fmt: skip
    assert summarise(pairs) == "1 entered, 1 left, 1 moved, 1 stayed."
    assert summarise(pair_hits([hit(1, 1)], [hit(1, 1)])) == "The same 1 passage in the same order."
    assert summarise([]) == "Neither side found anything."


def test_chunks_of_two_indexes_are_the_same_where_most_of_the_shorter_is_shared() -> None:
    ours, theirs = hit(1, 1, start=0, end=100), hit(1, 9, start=40, end=400)
    assert pair_hits([ours], [theirs]) == [Pair(ours, theirs)]
    assert len(pair_hits([ours], [replace(theirs, start=60)])) == 2
    assert len(pair_hits([ours], [replace(theirs, document_id=OTHER)])) == 2
    assert len(pair_hits([ours], [replace(theirs, text_revision=2)])) == 2


def test_columns_show_ranks_and_moves_and_escape_what_documents_say() -> None:
    pairs = pair_hits([hit(1, 2, text="<img src=x>"), hit(2, 1)], [hit(1, 1), hit(2, 5), hit(3, 2)])
    shown = columns_html(pairs, "<b>mine</b>", "theirs")
    assert "<img" not in shown
    assert "<b>mine" not in shown
    assert "▲ 2" in shown
    assert "▼ 1" in shown
    assert shown.count(">left<") == 1
    assert [row["change"] for row in comparison_rows(pairs)] == ["moved", "moved", "left"]
    assert set(comparison_rows(pairs)[0]) == set(COMPARISON_COLUMNS)


def histogram(**counts: int) -> Histogram:
    bins = [0] * 200
    for name, number in counts.items():
        bins[100 + int(name[1:])] = number
    return Histogram(tuple(bins))


def test_the_chart_says_what_is_kept_and_where_the_hits_lie() -> None:
    chart = Chart(histogram(_5=90, _30=9, _40=1), [hit(1, 1, similarity=0.405)], 0.3, Baseline("m", 0.02, 0.12))
    assert "10 are at least 0.30." in describe(chart)
    assert "between 0.41 and 0.41" in describe(chart) or "between 0.40 and 0.40" in describe(chart)
    shown = chart_html(chart)
    assert "10 of 100 chunks (10 %) at least 0.30" in shown
    assert "unrelated passages: 95 of 100 pairs below 0.12" in shown
    assert 'role="img"' in shown
    kept = [float(height) for height in re.findall(r'class="cs-kept" style="height:([\d.]+)%"', shown)]
    assert sorted(kept, reverse=True)[:2] == [31.6, 10.5]
    assert len(re.findall(r'class="cs-(?:kept|dropped)" style', shown)) <= 64


def test_the_chart_of_all_values_has_few_bars_and_pieces_within_it() -> None:
    everything = Histogram(tuple([1] * 200))
    shown = chart_html(Chart(everything, [hit(1, 1, similarity=1.0)], -1.0, None))
    assert len(re.findall(r"<i class=\"cs-(?:kept|dropped)", shown)) <= 64
    assert all(0 <= float(left) <= 100 for left in re.findall(r"left:(-?[\d.]+)%", shown))


def test_a_document_s_name_stays_text_in_the_chart() -> None:
    shown = chart_html(Chart(histogram(_5=1), [hit(1, 1, document='"><script>')], None, None))
    assert "<script" not in shown


@pytest.mark.parametrize(
    ("judged", "grade"),
    [
        ([], None),
        ([Judgement(DOCUMENT, 100, 190, 0)], 0),
        ([Judgement(DOCUMENT, 100, 190, 0), Judgement(DOCUMENT, 150, 300, 2)], 0),
        ([Judgement(DOCUMENT, 150, 300, 2), Judgement(DOCUMENT, 160, 170, 1)], 2),
        ([Judgement(DOCUMENT, None, None, 1)], 1),
        ([Judgement(DOCUMENT, 190, 300, 1)], None),
        ([Judgement(OTHER, 100, 190, 1)], None),
    ],
)
def test_a_verdict_counts_for_the_passages_that_it_overlaps(judged: list[Judgement], grade: int | None) -> None:
    assert grade_hits([hit(1, 1)], judged).get(1) == grade


def test_cards_show_each_stage_s_score_and_rank_under_its_own_name() -> None:
    shown = cards_html([hit(1, 1, rerank_score=0.93)], Look())
    for words in ("Similarity", "0.500 <small>no. 1", "Words", "2.00 <small>no. 2", "Fused", "0.700 <small>no. 3"):
        assert words in shown
    assert "Reranked" in shown
    assert "0.930" in shown
    assert "Fused" not in cards_html([hit(1, 1, fused_rank=1)], Look(fused=False))
    assert "Fused" in cards_html([hit(1, 1, fused_rank=4)], Look(fused=False))


def test_thumbs_show_the_verdict_and_say_why_they_are_off() -> None:
    up = cards_html([hit(1, 1)], Look(grades={1: 2}))
    assert up.index("Answers it") < up.index('aria-pressed="true"') < up.index('aria-pressed="false"')
    off = cards_html([hit(1, 1)], Look(refusal='Only "editors" judge.'))
    assert off.count(" disabled ") == 2
    assert "Only &quot;editors&quot; judge." in off


@pytest.mark.parametrize(
    "value", [None, 7, {}, {"act": "drop", "chunk": 1}, {"act": "up", "chunk": "1"}, {"act": "up", "chunk": True}]
)
def test_what_no_card_sends_is_nothing(value: object) -> None:
    assert read_action(value) is None
    assert read_action({"act": "up", "chunk": 5, "at": 1}) == Action("up", 5)


def test_the_download_has_every_score() -> None:
    row = csv_rows([hit(1, 1, rerank_score=0.5)])[0]
    assert set(row) == set(CSV_COLUMNS)
    assert (row["fused"], row["fused rank"], row["reranked"]) == (0.7, 3, 0.5)
