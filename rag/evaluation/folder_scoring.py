"""What a search scores on a labelled folder: by document, and by character where excerpts are given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rag.evaluation.labelled_folders import LabelledQuestion, Passage
from rag.records import Hit

#: Chunks to ask for: enough for 100 documents that have several each. The first ones are the same for any k.
EVALUATION_K = 1000
BUDGETS = (4000, 8000)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Means over the questions; ``char_recall`` by budget of characters, empty without excerpts."""

    ndcg_10: float
    recall_10: float
    recall_100: float
    mrr_10: float
    char_recall: dict[int, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, float]:
        """Under the names that the command line prints."""
        by_document = {
            "ndcg@10": self.ndcg_10,
            "recall@10": self.recall_10,
            "recall@100": self.recall_100,
            "mrr@10": self.mrr_10,
        }
        return by_document | {f"char_recall@{budget}": value for budget, value in self.char_recall.items()}


def evaluate(
    questions: Sequence[LabelledQuestion],
    retrieve: Callable[[str], Sequence[Hit]],
    document_of: Callable[[Hit], str],
    on_question: Callable[[int], None] | None = None,
) -> Metrics:
    """Ask each question with ``retrieve`` (best first, about :data:`EVALUATION_K` chunks) and measure the answers.

    ``document_of`` gives a hit's document under the set's own id. A document ranks where its best chunk does.
    """
    run: dict[str, list[str]] = {}
    recalls: dict[int, list[float]] = {budget: [] for budget in BUDGETS}
    for number, question in enumerate(questions, start=1):
        passages = [Passage(document_of(hit), hit.start, hit.end) for hit in retrieve(question.text)]
        run[question.id] = list(dict.fromkeys(passage.document for passage in passages))
        if question.excerpts:
            for budget, values in recalls.items():
                values.append(char_recall(passages, question.excerpts, budget))
        if on_question is not None:
            on_question(number)
    metrics = measure_documents(run, {question.id: question.relevant for question in questions})
    shares = {budget: fmean(values) for budget, values in recalls.items() if values}
    return Metrics(metrics.ndcg_10, metrics.recall_10, metrics.recall_100, metrics.mrr_10, shares)


def measure_documents(run: Mapping[str, Sequence[str]], relevant: Mapping[str, Mapping[str, int]]) -> Metrics:
    """Mean nDCG@10, Recall@10, Recall@100 and MRR@10 of ranked documents by question; an unanswered one counts 0."""
    import ir_measures
    from ir_measures import RR, R, nDCG

    measures = [nDCG @ 10, R @ 10, R @ 100, RR @ 10]
    judged = [ir_measures.Qrel(q, doc, grade) for q, grades in relevant.items() for doc, grade in grades.items()]
    # Falling scores by rank: equal scores would be put in order of their ids.
    scored = [
        ir_measures.ScoredDoc(q, doc, float(len(ranked) - place))
        for q, ranked in run.items()
        for place, doc in enumerate(ranked)
    ]
    totals = dict.fromkeys(measures, 0.0)
    for metric in ir_measures.iter_calc(measures, judged, scored):
        totals[metric.measure] += metric.value
    ndcg, recall, recall_far, mrr = (totals[measure] / len(relevant) for measure in measures)
    return Metrics(ndcg_10=ndcg, recall_10=recall, recall_100=recall_far, mrr_10=mrr)


def char_recall(ranked: Sequence[Passage], excerpts: Sequence[Passage], budget: int) -> float:
    """The share of the excerpts' characters within the first ``budget`` characters of the ranked chunks joined.

    The last chunk is cut. What chunks repeat of one another spends the budget again and counts once.
    """
    shown: dict[str, set[int]] = defaultdict(set)
    for document, start, end in ranked:
        cut = min(end, start + budget)
        shown[document].update(range(start, cut))
        budget -= cut - start
        if budget <= 0:
            break
    wanted: dict[str, set[int]] = defaultdict(set)
    for document, start, end in excerpts:
        wanted[document].update(range(start, end))
    covered = sum(len(places & shown[document]) for document, places in wanted.items())
    return covered / max(1, sum(map(len, wanted.values())))
