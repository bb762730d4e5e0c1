"""What a retrieval scores on judged questions. The measures are ir-measures'; here is said what a relevant thing is.

By document, a ranking is the documents of the passages, each where its best passage stands. By passage, it is the
passages themselves, and relevant are all chunks of the index that overlap a judged span: of a document that is judged
as a whole, all of them. Hits below the profile's threshold are nowhere: they never come back. nDCG@10, MRR and MAP look
at the order of the first 100 passages; recall@k, precision@k and hit@k at the k that the profile returns, and precision
divides by how many these are. Character metrics compare the characters returned with those judged, each counted once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from rag.evaluation.judgements import Judgement
from rag.evaluation.resampling import Interval, intervals, quantile_interval

Unit = Literal["document", "passage"]

#: Ranked passages that a run keeps of each question, and that the metrics of the order look at.
DEPTH = 100
#: By document or passage; each key of a metric is ``unit:name``.
RANKED = ("ndcg@10", "recall@k", "precision@k", "hit@k", "mrr", "map")
CHARACTERS = ("char_recall", "char_precision", "char_iou")
LATENCIES = {"latency_p50": 0.5, "latency_p95": 0.95}

Scores = dict[str, float]
#: By question: what is relevant, with its grade.
Grades = Mapping[int, Mapping[str, int]]
Spans = dict[str, list[tuple[int, int]]]


class RunHit(NamedTuple):
    """A passage as a run keeps it: where it stood, without its text."""

    document: str
    start: int
    end: int
    chunk: int
    similarity: float | None
    score: float

    def to_json(self) -> dict[str, Any]:
        """Short keys: a run holds tens of thousands."""
        names = ("d", "s", "e", "c", "sim", "score")
        return dict(zip(names, self, strict=True))

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> RunHit:
        return cls(kept["d"], kept["s"], kept["e"], kept["c"], kept["sim"], kept["score"])


@dataclass(frozen=True, slots=True)
class Truth:
    """What is judged of the questions of a set. ``chunks`` is of one index: question → chunk → grade."""

    judgements: Mapping[int, Sequence[Judgement]]
    chunks: Mapping[int, Mapping[int, int]]

    @property
    def unit(self) -> Unit:
        """What a run is judged by first: passages where each question has a judged span, else documents."""
        asked = [judged for judged in self.judgements.values() if any(one.grade > 0 for one in judged)]
        return "passage" if asked and all(map(spans_of, asked)) else "document"

    def graded(self, unit: Unit) -> dict[int, dict[str, int]]:
        """Question → document or chunk → grade, of the questions that can be judged by this unit."""
        if unit == "passage":
            return {
                question: {str(chunk): grade for chunk, grade in self.chunks.get(question, {}).items()}
                for question, judged in self.judgements.items()
                if spans_of(judged)
            }
        found: dict[int, dict[str, int]] = {}
        for question, judged in self.judgements.items():
            if any(one.grade > 0 for one in judged):
                grades = found.setdefault(question, {})
                for one in judged:
                    name = str(one.document_id)
                    grades[name] = max(one.grade, grades.get(name, 0))
        return found


def returned(hits: Sequence[RunHit], k: int | None, threshold: float | None) -> list[RunHit]:
    """What a profile with this ``k`` and ``threshold`` would have returned: the cut first, as the search does it.

    Without any similarity, as in a search by words alone, there is nothing to compare a threshold with.
    """
    first = list(hits[:k])
    if threshold is None or all(hit.similarity is None for hit in hits):
        return first
    least = np.float32(threshold)  # what the database compares
    return [hit for hit in first if hit.similarity is not None and np.float32(hit.similarity) >= least]


def score_questions(
    hits: Mapping[int, Sequence[RunHit]], truth: Truth, *, k: int, threshold: float | None
) -> dict[int, Scores]:
    """Every metric of each question; one that a question can't be judged by is left out of its scores."""
    scores: dict[int, Scores] = {question: {} for question in hits}
    for unit in ("document", "passage"):
        for question, values in _score_ranked(hits, truth.graded(unit), unit, k, threshold).items():
            scores[question] |= {f"{unit}:{name}": value for name, value in values.items()}
    for question, found in hits.items():
        if spans := spans_of(truth.judgements.get(question, ())):
            scores[question] |= score_characters(returned(found, k, threshold), spans)
    return scores


def _score_ranked(
    hits: Mapping[int, Sequence[RunHit]], graded: Grades, unit: Unit, k: int, threshold: float | None
) -> dict[int, Scores]:
    judged = {question: found for question, found in hits.items() if question in graded}
    whole = {question: rank(returned(found[:DEPTH], None, threshold), unit) for question, found in judged.items()}
    cut = {question: rank(returned(found, k, threshold), unit) for question, found in judged.items()}
    graded = {question: graded[question] for question in judged}
    return measure(whole, cut, graded)


def rank(hits: Iterable[RunHit], unit: Unit) -> list[str]:
    """Names of the documents or passages, best first, each once."""
    return list(dict.fromkeys(hit.document if unit == "document" else str(hit.chunk) for hit in hits))


def measure(whole: Mapping[int, Sequence[str]], cut: Mapping[int, Sequence[str]], graded: Grades) -> dict[int, Scores]:
    """:data:`RANKED` by question: the order of ``whole``, and what is in ``cut``. Not found at all scores 0."""
    from ir_measures import AP, RR, SetP, SetR, Success, nDCG

    longest = max((len(names) for names in cut.values()), default=0)
    scores = {question: dict.fromkeys(RANKED, 0.0) for question in graded}
    _fill(scores, {nDCG @ 10: "ndcg@10", RR: "mrr", AP: "map"}, whole, graded)
    # A cut is whole as it is: the measure needs a number, and any that is not below its length says "all of it".
    some = Success @ max(1, longest)
    _fill(scores, {SetR: "recall@k", SetP: "precision@k", some: "hit@k"}, cut, graded)
    return scores


def _fill(
    scores: dict[int, Scores], measures: Mapping[Any, str], run: Mapping[int, Sequence[str]], graded: Grades
) -> None:
    import ir_measures

    judged = [
        ir_measures.Qrel(str(question), name, grade)
        for question, grades in graded.items()
        for name, grade in grades.items()
    ]
    # Falling scores by rank: equal scores would be put in order of their names.
    ranked = [
        ir_measures.ScoredDoc(str(question), name, float(len(names) - place))
        for question, names in run.items()
        for place, name in enumerate(names)
    ]
    if not judged or not ranked:
        return
    for value in ir_measures.iter_calc(list(measures), judged, ranked):
        scores[int(value.query_id)][measures[value.measure]] = float(value.value)


def score_characters(found: Sequence[RunHit], wanted: Mapping[str, Sequence[tuple[int, int]]]) -> Scores:
    """Characters found of those wanted (recall), wanted of those found (precision), and the share of both in either."""
    shown: Spans = defaultdict(list)
    for hit in found:
        shown[hit.document].append((hit.start, hit.end))
    read = {document: merge_spans(spans) for document, spans in shown.items()}
    needed = {document: merge_spans(spans) for document, spans in wanted.items()}
    both = sum(count_shared(read.get(document, []), spans) for document, spans in needed.items())
    have, want = (sum(end - start for spans in some.values() for start, end in spans) for some in (read, needed))
    return {
        "char_recall": both / max(1, want),
        "char_precision": both / max(1, have),
        "char_iou": both / max(1, have + want - both),
    }


def spans_of(judged: Iterable[Judgement]) -> Spans:
    """The characters that are judged to answer, by document."""
    spans: Spans = defaultdict(list)
    for one in judged:
        if one.grade > 0 and one.start is not None and one.end is not None:
            spans[str(one.document_id)].append((one.start, one.end))
    return dict(spans)


def merge_spans(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same characters in order and without overlaps."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def count_shared(some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    """Characters in both of two lists of spans, each without overlaps."""
    return sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a in some for b in others)


def summarise(scores: Mapping[int, Scores], latencies: Sequence[float]) -> dict[str, Interval]:
    """The mean of each metric over the questions that have it, and quantiles of the milliseconds, with intervals."""
    names = list(dict.fromkeys(name for values in scores.values() for name in values))
    found: dict[str, Interval] = {}
    if names:
        table = [[values.get(name, np.nan) for name in names] for values in scores.values()]
        found = dict(zip(names, intervals(table), strict=True))
    for name, quantile in LATENCIES.items():
        if latencies:
            found[name] = quantile_interval(latencies, quantile)
    return found
