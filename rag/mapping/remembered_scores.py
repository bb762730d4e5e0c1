"""A reranker that reads each passage once for a question: moving a slider asks for the same scores again and again."""

from __future__ import annotations

from collections.abc import Sequence

from rag.retrieval.reranking import Reranker, Rerankers, shared_rerankers

_MOST = 4000


class RememberedScores:
    """Rerankers for ``retrieve()`` that keep what they scored; of one session, as the passages are its person's."""

    def __init__(self, rerankers: Rerankers | None = None) -> None:
        self._rerankers = rerankers or shared_rerankers()
        self._known: dict[tuple[str, str, str], float] = {}

    def __call__(self, name: str) -> Reranker:
        """That reranker; raises what the others raise."""
        return _Remembering(name, self._rerankers(name), self._known)


class _Remembering:
    def __init__(self, name: str, reranker: Reranker, known: dict[tuple[str, str, str], float]) -> None:
        self._name = name
        self._reranker = reranker
        self._known = known

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        new = [text for text in dict.fromkeys(passages) if (self._name, question, text) not in self._known]
        if new:
            for text, score in zip(new, self._reranker.score(question, new), strict=True):
                self._known[self._name, question, text] = score
        found = [self._known[self._name, question, text] for text in passages]
        while len(self._known) > _MOST:
            self._known.pop(next(iter(self._known)))
        return found
