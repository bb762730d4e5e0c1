"""Boilerplate: lines, sentences and blocks of them that many documents repeat.

A text is cut at line ends and after sentences; pieces are compared by their words, with every figure taken for the same
(so "Page 3 of 12" is what "Page 4 of 12" is). Pieces that are repeated and stand next to each other in as many
documents are one block.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

#: A piece with fewer letters and figures is no boilerplate: headings of one short word are everywhere.
LEAST_CHARACTERS = 16
#: Pieces this far apart are in different blocks.
_FAR = 40
#: Documents that a text is repeated in at least: so many, and this share of all, but no more than the last number.
LEAST_DOCUMENTS = 3
DOCUMENT_SHARE = 0.01
ENOUGH_DOCUMENTS = 20
#: Texts of which the places are kept: those that repeat most characters.
MOST_REPEATS = 500

_PIECE = re.compile(r"[^\s][^\n]*?(?:[.!?…](?=\s)|[。！？]|(?=\s*\n)|(?=\s*\Z))")
_WORDS = re.compile(r"[^\W\d_]+|\d+")
_FIGURES = re.compile(r"\d+")


class Place(NamedTuple):
    """Where a repeated text stands: a document's number in the order read, and characters, end exclusive."""

    document: int
    start: int
    end: int


@dataclass(frozen=True)
class Repeat:
    """One text and its places. ``documents`` counts documents, ``characters`` all places together."""

    places: tuple[Place, ...]

    @property
    def documents(self) -> int:
        """How many documents hold it."""
        return len({place.document for place in self.places})

    @property
    def characters(self) -> int:
        """Characters of all its places."""
        return sum(place.end - place.start for place in self.places)


@dataclass(frozen=True)
class Source:
    """A document whose text was read."""

    document_id: UUID
    revision: int


class RepeatReader:
    """Reads documents one after another; what is kept of them is numbers."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._keys: dict[bytes, int] = {}
        self._seen_in: list[int] = []  # by key: how many documents
        self._last: list[int] = []  # by key: the last of them
        #: By document: key, start and end of each piece, in order.
        self._pieces: list[list[tuple[int, int, int]]] = []

    def read(self, source: Source, text: str, copied: Sequence[tuple[int, int]] = ()) -> None:
        """Take in one document. ``copied`` are spans of it that are copies of passages elsewhere.

        These are told of as near-duplicates: what they hold is no boilerplate for that alone.
        """
        number, pieces = len(self.sources), []
        self.sources.append(source)
        for start, end in cut(text):
            if any(low <= start and end <= high for low, high in copied):
                continue
            if (digest := fingerprint(text[start:end])) is not None:
                pieces.append((self._count(digest, number), start, end))
        self._pieces.append(pieces)

    def _count(self, digest: bytes, document: int) -> int:
        key = self._keys.setdefault(digest, len(self._keys))
        if key == len(self._seen_in):
            self._seen_in.append(0)
            self._last.append(-1)
        if self._last[key] != document:
            self._last[key] = document
            self._seen_in[key] += 1
        return key

    @property
    def least(self) -> int:
        """Documents that a text must be in to count."""
        return least_documents(len(self.sources))

    def finish(self) -> list[Repeat]:
        """What is repeated, most characters first."""
        blocks: dict[tuple[int, ...], list[Place]] = defaultdict(list)
        for document, pieces in enumerate(self._pieces):
            for run in self._runs(pieces):
                blocks[tuple(key for key, _, _ in run)].append(Place(document, run[0][1], run[-1][2]))
        found = [repeat for places in blocks.values() if (repeat := Repeat(tuple(places))).documents >= self.least]
        return sorted(found, key=lambda one: (-one.characters, one.places[0]))[:MOST_REPEATS]

    def _runs(self, pieces: Sequence[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
        """Repeated pieces that follow each other, as long as they are in equally many documents."""
        run: list[tuple[int, int, int]] = []
        for piece in pieces:
            times = self._seen_in[piece[0]]
            if run and (times != self._seen_in[run[-1][0]] or piece[1] - run[-1][2] > _FAR):
                yield run
                run = []
            if times >= self.least:
                run.append(piece)
        if run:
            yield run


def cut(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence or line, without the white space around it."""
    for found in _PIECE.finditer(text):
        yield found.start(), found.end()


def fingerprint(piece: str) -> bytes | None:
    """The same for pieces of the same words, whatever the figures; None for one that is too short to count."""
    words = _WORDS.findall(piece.casefold())
    if sum(map(len, words)) < LEAST_CHARACTERS:
        return None
    return blake2b(" ".join(_FIGURES.sub("0", word) for word in words).encode(), digest_size=12).digest()


def least_documents(documents: int) -> int:
    """Documents that a text must be in to count, of so many."""
    return max(LEAST_DOCUMENTS, min(ENOUGH_DOCUMENTS, round(DOCUMENT_SHARE * documents)))
