"""The middle of the chain: what the two legs of a search say of one chunk, by vectors and by words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rag.retrieval.profiles import MAX_K, RetrievalProfile
from rag.retrieval.trace_records import Advice, Finding
from rag.retrieval.trace_rows import DenseFacts, LexicalFacts, Term

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Legs:
    """What both legs said; None where a leg wasn't asked, or the chunk has no vector.

    ``excluded``: the chunk is left out of search, or of the selection that is searched, so its ranks are what they
    would be. ``better_ef`` is the least
    ``ef_search`` that was found to bring the chunk, where the vector index missed it.
    """

    dense: DenseFacts | None
    lexical: LexicalFacts | None
    terms: Sequence[Term]
    excluded: bool = False
    better_ef: int | None = None

    @property
    def similarity(self) -> float | None:
        return self.dense.similarity if self.dense else None

    @property
    def dense_rank(self) -> int | None:
        """The rank that the dense leg gives the chunk, or would give it were it in search."""
        if self.dense is None:
            return None
        near = self.dense.exact_rank is not None and self.dense.exact_rank <= self.dense.depth
        return self.dense.exact_rank if self.excluded and near else self.dense.leg_rank

    @property
    def lexical_rank(self) -> int | None:
        """The same of the lexical leg."""
        if self.lexical is None:
            return None
        near = self.lexical.would_rank is not None and self.lexical.would_rank <= self.lexical.depth
        return self.lexical.would_rank if self.excluded and near else self.lexical.rank

    @property
    def missed(self) -> bool:
        """Whether the vector index passed over a chunk that is near enough."""
        dense = self.dense
        if dense is None or dense.exact_rank is None or self.excluded:
            return False
        return dense.by_graph and dense.leg_rank is None and dense.exact_rank <= dense.depth


def judge_exact(legs: Legs, profile: RetrievalProfile) -> Finding:
    """Where the chunk stands when every vector is looked at."""
    dense = legs.dense
    if profile.mode == "lexical":
        return Finding("exact", True, "Not asked: this search goes by words alone.")
    if dense is None or dense.exact_rank is None or dense.compared is None or dense.similarity is None:
        return Finding("exact", None, "It can't be said without a vector.")
    reach = MAX_K if profile.mode == "dense" else dense.depth
    figures = {"rank": dense.exact_rank, "of": dense.compared, "similarity": round(dense.similarity, 4), "reach": reach}
    would = "It would be number" if legs.excluded else "Number"
    words = f"{would} {dense.exact_rank:,} of {dense.compared:,} by similarity, {dense.similarity:.3f}."
    if dense.exact_rank <= reach:
        return Finding("exact", True, words, figures)
    if legs.lexical_rank is not None:
        return Finding("exact", True, f"{words} Too far for the dense leg, but its words bring it.", figures)
    words = f"{words} {_too_far(profile, reach)}"
    return Finding("exact", False, words, figures, tuple(_nearer(legs, profile)))


def _too_far(profile: RetrievalProfile, reach: int) -> str:
    if profile.mode == "dense":
        return f"No search returns more than {reach:,}."
    return f"The dense leg passes on its best {reach:,}."


def _nearer(legs: Legs, profile: RetrievalProfile) -> list[Advice]:
    advice = [Advice("Ask in words that are nearer to what it says.")]
    matched = [term.word for term in legs.terms if term.in_chunk]
    if profile.mode == "dense" and matched:
        advice.insert(
            0, Advice("Search by words as well: it has " + ", ".join(matched[:_SHOWN]) + ".", {"mode": "hybrid"})
        )
    return advice


def judge_graph(legs: Legs, profile: RetrievalProfile) -> Finding:
    """What the HNSW index made of it, where one was used."""
    dense = legs.dense
    if profile.mode == "lexical":
        return Finding("hnsw", True, "Not asked: this search goes by words alone.")
    if dense is None or dense.exact_rank is None:
        return Finding("hnsw", None, "It can't be said without a vector.")
    figures: dict[str, Any] = {"asked for": dense.depth, "ef_search": profile.ef_search, "by index": dense.by_graph}
    if not dense.by_graph:
        return Finding("hnsw", True, "Searched exactly: for so few vectors, looking at each is as fast.", figures)
    figures["rank"] = dense.leg_rank
    if legs.missed:
        words = f"The index missed it: number {dense.exact_rank:,} exactly, but not among the {dense.depth:,} it found."
        if legs.lexical_rank is not None:
            return Finding("hnsw", True, f"{words} Its words bring it all the same.", figures)
        return Finding("hnsw", False, words, figures | {"found at": legs.better_ef}, (_wider(legs, profile),))
    if legs.excluded:
        return Finding("hnsw", None, "What is left out of search isn't looked for in the index.", figures)
    if dense.leg_rank is None:
        words = f"No miss: the index was asked for {dense.depth:,}, and exactly it is number {dense.exact_rank:,}."
        return Finding("hnsw", True, words, figures)
    words = f"The index has it at number {dense.leg_rank:,} (exactly: {dense.exact_rank:,})."
    return Finding("hnsw", True, words, figures)


def _wider(legs: Legs, profile: RetrievalProfile) -> Advice:
    if legs.better_ef is None:
        return Advice("Ask for more passages: no ef_search that can be set brings it at this k.")
    return Advice(f"Raise ef_search from {profile.ef_search:,} to {legs.better_ef:,}.", {"ef_search": legs.better_ef})


def judge_words(legs: Legs, profile: RetrievalProfile) -> Finding:
    """Which words of the question the chunk has, and what BM25 makes of them."""
    if profile.mode == "dense":
        return Finding("lexical", True, "Not asked: this search goes by meaning alone.")
    lexical = legs.lexical
    if lexical is None:
        return Finding("lexical", None, "It can't be said without a chunk.")
    figures = _term_figures(legs.terms) | {
        "score": None if lexical.score is None else round(lexical.score, 3),
        "rank": legs.lexical_rank,
        "depth": lexical.depth,
    }
    words = " ".join([*describe_terms(legs.terms), _score(legs, lexical)]).strip()
    if legs.lexical_rank is not None:
        return Finding("lexical", True, words, figures)
    if profile.mode == "hybrid" and (legs.dense_rank is not None):
        return Finding("lexical", True, f"{words} Its meaning brings it all the same.", figures)
    return Finding("lexical", False, words, figures, tuple(_other_words(legs, profile)))


def _term_figures(terms: Sequence[Term]) -> dict[str, Any]:
    return {
        "matched": [term.word for term in terms if term.in_chunk],
        "missing": [term.word for term in terms if not term.in_chunk and not term.dropped and term.chunks],
        "unknown": [term.word for term in terms if not term.chunks and not term.dropped],
        "stop words": [term.word for term in terms if term.dropped],
    }


def describe_terms(terms: Sequence[Term]) -> list[str]:
    """A sentence for each kind of word: those that match, those that don't, and why."""
    found = _term_figures(terms)
    if any(term.in_chunk is None for term in terms):
        return ["The chunk isn't in the index of words yet: a worker puts it there."]
    counting = len(found["matched"]) + len(found["missing"]) + len(found["unknown"])
    if not counting:
        return ["Every word of the question is too common to count."]
    sentences = [f"{len(found['matched'])} of {counting} words match{_listed(found['matched'])}."]
    if found["missing"]:
        sentences.append(f"The chunk lacks {_quoted(found['missing'])}.")
    if found["unknown"]:
        sentences.append(f"No chunk at all has {_quoted(found['unknown'])}.")
    if found["stop words"]:
        sentences.append(f"Too common to count: {_quoted(found['stop words'])}.")
    return sentences


def _listed(words: Sequence[str]) -> str:
    return f": {_quoted(words)}" if words else ""


def _quoted(words: Sequence[str]) -> str:
    shown = ", ".join(f"“{word}”" for word in words[:_SHOWN])
    return f"{shown} and {len(words) - _SHOWN} more" if len(words) > _SHOWN else shown


def _score(legs: Legs, lexical: LexicalFacts) -> str:
    if lexical.score is None:
        return ""
    rank = legs.lexical_rank
    if rank is None:
        return f"BM25 {lexical.score:.2f}, not among the best {lexical.depth:,}."
    return f"BM25 {lexical.score:.2f}, {'would be ' if legs.excluded else ''}number {rank:,}."


def _other_words(legs: Legs, profile: RetrievalProfile) -> list[Advice]:
    advice = [Advice("Use a word that the passage has.")]
    if profile.mode == "lexical":
        advice.append(Advice("Search by meaning as well.", {"mode": "hybrid"}))
    return advice
