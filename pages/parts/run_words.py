"""Evaluation runs in words: what metrics are called and mean, how values and settings read in a table."""

from __future__ import annotations

import math

from pages.parts.words import plain
from rag.corpus.indexes import IndexRow
from rag.evaluation.resampling import Interval
from rag.evaluation.runs import Run
from rag.evaluation.scoring import Unit
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import describe_changes

#: Name → (heading, what it means). In the order of the tables.
METRICS: dict[str, tuple[str, str]] = {
    "ndcg@10": ("nDCG@10", "How well the first ten are ordered, the best answers first: 1 is as well as can be."),
    "recall@k": ("Recall@k", "The share of everything judged relevant that the k returned passages hold."),
    "precision@k": ("Precision@k", "The share of what the profile returned that is relevant."),
    "hit@k": ("Hit rate@k", "The share of questions for which at least one relevant thing was returned."),
    "mrr": ("MRR", "One divided by the place of the first relevant thing, on average."),
    "map": ("MAP", "The precision at each relevant thing in the first 100 passages, averaged."),
    "char_recall": ("Character recall", "The share of the judged characters that were returned."),
    "char_precision": ("Character precision", "The share of the returned characters that are judged to answer."),
    "char_iou": ("Character IoU", "Characters both returned and judged, of all that are either."),
}
LATENCIES = {
    "latency_p50": ("Latency p50", "Half of the searches took at most so long, without embedding the question."),
    "latency_p95": ("Latency p95", "95 of 100 searches took at most so long, without embedding the question."),
    "latency_ms": ("Latency", "Milliseconds of a search, without embedding the question."),
}

UNITS: dict[Unit, str] = {
    "document": (
        "Measured by document: a document counts once, where its best passage stands,"
        " since not every question of the set has a judged passage."
    ),
    "passage": "Measured by passage: a chunk is relevant if it overlaps a judged passage.",
}
STATES = {
    "queued": "waiting",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


def heading(name: str, k: int | None = None) -> str:
    """What a metric is called; with ``k`` in place of the letter."""
    title = (METRICS | LATENCIES)[name][0]
    return title if k is None else title.replace("@k", f"@{k}")


def meaning(name: str) -> str:
    return (METRICS | LATENCIES)[name][1]


def shown(name: str, value: float | None) -> str:
    """``0.412``, ``12 ms``; a dash for nothing."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.1f} ms" if name.startswith("latency") else f"{value:.3f}"


def with_interval(name: str, value: Interval | None) -> str:
    """``0.412 (0.371–0.453)``."""
    if value is None or math.isnan(value.mean):
        return "–"
    if name.startswith("latency"):
        return f"{value.mean:,.1f} ms ({value.low:,.1f}–{value.high:,.1f})"
    return f"{value.mean:.3f} ({value.low:.3f}–{value.high:.3f})"


def index_label(index: IndexRow) -> str:
    """``Index 3 · all-MiniLM-L6-v2 (active)``."""
    return f"Index {index.id} · {index.model} ({index.state})"


def index_of(run: Run) -> str:
    return f"{run.index_id} · {run.model}" if run.index_id is not None else f"gone · {run.model}"


def run_option(run: Run) -> str:
    """One run in a list to choose from. Nothing that changes: a list keeps what it first called an option."""
    return f"{run.label} · index {run.index_id or 'gone'}"


def settings_words(profile: RetrievalProfile) -> str:
    """What a run asked with, in one line: k, and where it differs from the built-in settings."""
    changes = [plain(one.words.rpartition(", before ")[0]) for one in describe_changes(RetrievalProfile(), profile)]
    passages = [] if profile.k != RetrievalProfile().k else [f"Passages (k): {profile.k}"]
    return " · ".join([*passages, *changes, "else the built-in settings" if changes else "the built-in settings"])
