"""Why a document or a phrase is not among the results of a search: the chain from the file to k, and where it broke."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from rag.errors import InvalidInput
from rag.retrieval.phrase_matching import check_phrase
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.reranking import Rerankers
from rag.retrieval.retrieving import OpenConnection
from rag.retrieval.search import Vector
from rag.retrieval.stored_profiles import describe_changes
from rag.retrieval.trace_corpus import judge_corpus
from rag.retrieval.trace_legs import Legs, judge_exact, judge_graph, judge_words
from rag.retrieval.trace_order import (
    Order,
    judge_cut,
    judge_diversity,
    judge_fusion,
    judge_rerank,
    judge_threshold,
)
from rag.retrieval.trace_records import Advice, Explanation, Finding, Outcome, Stage, StageName, Target
from rag.retrieval.trace_rows import ChunkFacts, read_chunk_text
from rag.retrieval.trace_search import Tried, choose, follow_legs, follow_order
from rag.retrieval.trace_subject import Subject, find_subject

_NOT_REACHED = "It can't be said: nothing came so far."
_SEARCH_STAGES: tuple[StageName, ...] = (
    "exact",
    "hnsw",
    "lexical",
    "threshold",
    "fusion",
    "rerank",
    "diversity",
    "k",
)


def explain(
    open_conn: OpenConnection,
    collection_id: UUID,
    question: str,
    vector: Vector | None,
    profile: RetrievalProfile,
    *,
    document_id: UUID | None = None,
    phrase: str | None = None,
    documents: Sequence[UUID] | None = None,
    index_id: int | None = None,
    rerankers: Rerankers | None = None,
    scope: int | None = None,
) -> Explanation:
    """Follow a document, a phrase, or a phrase in a document through the search of ``question``.

    The arguments are those of :func:`rag.retrieval.retrieving.retrieve`, which is what is asked. Of a document its best
    chunk for the question is followed; of a phrase the chunk that holds it. What the person who asks may not see is as
    if it didn't exist. Raises :class:`InvalidInput` without a document or phrase and what ``retrieve()`` raises.
    """
    if document_id is None and not (phrase or "").strip():
        raise InvalidInput("Choose a document, or paste a phrase.")
    wanted = check_phrase(phrase) if phrase and phrase.strip() else None
    tried = Tried(open_conn, collection_id, question, vector, profile, documents, index_id, rerankers, scope)
    with open_conn() as conn:
        subjects = find_subject(conn, collection_id, index_id, document_id, wanted)
    subject, chunk, rank = _choose(tried, subjects)
    with open_conn() as conn:
        findings = judge_corpus(conn, subject, chunk, profile.mode, documents, scope)
        text = read_chunk_text(conn, chunk.id) if chunk is not None else ""
    findings += _judge_search(tried, subject, chunk)
    stages, lost_at = _settle(findings, rank)
    explanation = Explanation(question, _name(subject, wanted), _target(subject, chunk, text), stages, lost_at, rank)
    return _try_advice(tried, subject, explanation)


def apply_fix(profile: RetrievalProfile, fix: Mapping[str, Any]) -> RetrievalProfile:
    """The profile with the settings of an advice; None is a value here, as of a threshold."""
    return replace(profile, **fix)


def _choose(tried: Tried, subjects: Sequence[Subject]) -> tuple[Subject, ChunkFacts | None, int | None]:
    if subjects[0].index is None or not any(subject.chunks for subject in subjects):
        return subjects[0], None, None
    return choose(tried, subjects)


def _judge_search(tried: Tried, subject: Subject, chunk: ChunkFacts | None) -> list[Finding]:
    if chunk is None or subject.index is None or subject.index.state == "retired":
        return [Finding(name, None, _NOT_REACHED) for name in _SEARCH_STAGES]
    legs = follow_legs(tried, subject.index.id, chunk)
    order = follow_order(tried, subject.index.id, chunk, legs)
    return _judge_ranks(legs, order, tried.profile, has_vector=tried.vector is not None)


def _judge_ranks(legs: Legs, order: Order, profile: RetrievalProfile, *, has_vector: bool) -> list[Finding]:
    return [
        judge_exact(legs, profile),
        judge_graph(legs, profile),
        judge_words(legs, profile),
        judge_threshold(legs, profile, has_vector),
        judge_fusion(legs, order, profile),
        judge_rerank(order, profile),
        judge_diversity(order, profile),
        judge_cut(order, profile),
    ]


def _settle(findings: Sequence[Finding], rank: int | None) -> tuple[list[Stage], StageName | None]:
    """Outcomes: what is among the results has passed everywhere; else the first stage that says no has lost it."""
    if rank is not None:
        return [_stage(f, "unknown" if f.ok is None else "passed") for f in findings], None
    lost_at = next((finding.name for finding in findings if finding.ok is False), None)
    if lost_at is None:
        *others, last = findings
        words = "No stage accounts for it: something changed while it was followed. Ask again."
        findings, lost_at = [*others, Finding(last.name, False, words, last.figures)], last.name
    stages, after = [], False
    for finding in findings:
        stages.append(_stage(finding, _outcome(finding, lost_at, after=after)))
        after = after or finding.name == lost_at
    return stages, lost_at


def _outcome(finding: Finding, lost_at: StageName, *, after: bool) -> Outcome:
    if finding.name == lost_at:
        return "lost"
    if finding.ok is None:
        return "unknown"
    if not after:
        return "passed"
    return "would_pass" if finding.ok else "would_lose"


def _stage(finding: Finding, outcome: Outcome) -> Stage:
    advice = finding.advice if outcome in ("lost", "would_lose") else ()
    return Stage(finding.name, outcome, finding.words, finding.figures, advice)


def _try_advice(tried: Tried, subject: Subject, explanation: Explanation) -> Explanation:
    """Run the search with what is advised: what brings it is marked; where only all of it does, that is the cure."""
    if explanation.lost_at is None or not subject.whole:
        return explanation
    wanted = {chunk.id for chunk in subject.whole}
    stages = [
        replace(stage, advice=tuple(_tried(tried, wanted, advice) for advice in stage.advice))
        if stage.outcome == "lost"
        else stage
        for stage in explanation.stages
    ]
    explanation = replace(explanation, stages=stages)
    if any(advice.checked for advice in explanation.advice):
        return explanation
    fixes: dict[str, Any] = {}
    for stage in stages:
        fixes |= next((advice.fix for advice in stage.advice if advice.fix), {})
    together = _tried(tried, wanted, Advice("", fixes))
    if len(fixes) < 2 or not together.checked:
        return explanation
    changes = describe_changes(tried.profile, apply_fix(tried.profile, fixes))
    words = "All of it together: " + "; ".join(change.words for change in changes) + "."
    return replace(explanation, cure=replace(together, words=words))


def _tried(tried: Tried, wanted: set[int], advice: Advice) -> Advice:
    if not advice.fix or not tried.can_ask(**advice.fix):
        return advice
    return replace(advice, checked=any(hit.chunk_id in wanted for hit in tried.hits(**advice.fix)))


def _name(subject: Subject, phrase: str | None) -> str:
    if phrase is not None:
        return f"“{phrase}”"
    return subject.document.name if subject.document else "That document"


def _target(subject: Subject, chunk: ChunkFacts | None, text: str) -> Target:
    document = subject.document
    if document is None:
        return Target()
    if chunk is None:
        place = subject.place
        span = (place.start, place.end) if place else (None, None)
        return Target(document.id, document.name, start=span[0], end=span[1])
    place = subject.place
    marked = (max(0, place.start - chunk.start), place.end - chunk.start) if place else None
    return Target(document.id, document.name, chunk.id, chunk.ordinal, chunk.start, chunk.end, text, marked)
