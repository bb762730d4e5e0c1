"""A selection of points: what was drawn or listed, and a short text of it for addresses. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from rag.errors import InvalidInput

Kind = Literal["polygon", "clusters", "documents", "chunks", "places"]
_LETTERS: dict[str, Kind] = {"p": "polygon", "c": "clusters", "d": "documents", "k": "chunks", "n": "places"}

#: A longer line is thinned: no hand draws more, and a screen shows no more.
MOST_CORNERS = 1000
MOST_LISTED = 1_000_000


class Edges(NamedTuple):
    """The sides of a polygon by the horizontal slabs between its corners' heights; see :func:`slice_polygon`."""

    heights: list[int]
    slabs: list[int]
    x: list[float]
    y: list[float]
    slope: list[float]


@dataclass(frozen=True, slots=True)
class Selection:
    """Points of a map: inside a polygon (map units), in clusters, of documents, of chunks, or by their places."""

    kind: Kind
    corners: tuple[tuple[int, int], ...] = ()
    numbers: tuple[int, ...] = ()
    documents: tuple[UUID, ...] = ()

    @classmethod
    def of_polygon(cls, points: Iterable[tuple[float, float]]) -> Selection:
        """Inside of this line, which closes itself; :class:`InvalidInput` with fewer than three corners."""
        corners = [(round(x), round(y)) for x, y in points]
        corners = [corner for n, corner in enumerate(corners) if corner != corners[n - 1] or len(corners) == 1]
        while len(corners) > MOST_CORNERS:
            corners = corners[::2]
        if len(corners) < 3:
            raise InvalidInput("Draw around some points: a line with three corners or more.")
        return cls("polygon", corners=tuple(corners))

    @classmethod
    def of_clusters(cls, numbers: Iterable[int]) -> Selection:
        return cls("clusters", numbers=_ordered(numbers))

    @classmethod
    def of_chunks(cls, ids: Iterable[int]) -> Selection:
        return cls("chunks", numbers=_ordered(ids))

    @classmethod
    def of_places(cls, places: Iterable[int]) -> Selection:
        return cls("places", numbers=_ordered(places))

    @classmethod
    def of_documents(cls, ids: Iterable[UUID]) -> Selection:
        return cls("documents", documents=tuple(sorted(set(ids))))

    @property
    def polygon(self) -> list[tuple[float, float]] | None:
        """The corners of a drawn selection."""
        return [(float(x), float(y)) for x, y in self.corners] if self.kind == "polygon" else None

    def to_text(self) -> str:
        """Letters, digits, ``-`` and ``_`` only: about four a corner or number, 22 a document."""
        letter = next(letter for letter, kind in _LETTERS.items() if kind == self.kind)
        if self.kind == "documents":
            data = b"".join(one.bytes for one in self.documents)
        elif self.kind == "polygon":
            flat = [value for corner in self.corners for value in corner]
            data = _pack(value - (flat[n - 2] if n > 1 else 0) for n, value in enumerate(flat))
        else:
            data = _pack(value - (self.numbers[n - 1] if n else 0) for n, value in enumerate(self.numbers))
        return letter + base64.urlsafe_b64encode(data).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Selection:
        """What :meth:`to_text` wrote; :class:`InvalidInput` for anything else."""
        kind = _LETTERS.get(text[:1])
        if kind is None:
            raise InvalidInput("That selection can't be read.", hint="Select on the map again.")
        try:
            data = base64.b64decode(text[1:] + "=" * (-len(text[1:]) % 4), altchars=b"-_", validate=True)
            if kind == "documents":
                return cls.of_documents(UUID(bytes=data[n : n + 16]) for n in range(0, len(data), 16))
            values = list(_unpack(data))
        except (binascii.Error, ValueError) as error:
            raise InvalidInput("That selection can't be read.", hint="Select on the map again.") from error
        if kind == "polygon":
            return cls.of_polygon(zip(_sums(values[::2]), _sums(values[1::2]), strict=False))
        return cls(kind, numbers=_ordered(_sums(values)))


def slice_polygon(corners: Sequence[tuple[int, int]]) -> Edges:
    """The sides that cross each slab between two neighbouring heights of corners, numbered as ``width_bucket`` does.

    A point is inside by the even-odd rule when an odd number of its slab's sides lie to its right. Looking only at
    those few sides makes a long line as cheap as a short one.
    """
    heights = sorted({y for _, y in corners})
    order = {y: n for n, y in enumerate(heights)}
    found = Edges(heights, [], [], [], [])
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if y1 == y2:
            continue
        slope = (x2 - x1) / (y2 - y1)
        for slab in range(min(order[y1], order[y2]), max(order[y1], order[y2])):
            found.slabs.append(slab + 1)
            found.x.append(float(x1))
            found.y.append(float(y1))
            found.slope.append(slope)
    return found


def _ordered(numbers: Iterable[int]) -> tuple[int, ...]:
    chosen = tuple(sorted(set(numbers)))
    if len(chosen) > MOST_LISTED or any(not 0 <= number < 2**63 for number in chosen):
        raise InvalidInput("That selection can't be read.", hint="Select on the map again.")
    return chosen


def _pack(values: Iterable[int]) -> bytes:
    """Signed numbers in seven bits a byte, small ones short (LEB128 of zigzag)."""
    data = bytearray()
    for value in values:
        rest = value * 2 if value >= 0 else -value * 2 - 1
        while rest > 127:
            data.append(rest & 127 | 128)
            rest >>= 7
        data.append(rest)
    return bytes(data)


def _unpack(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if shift > 70:
            raise ValueError("A number without an end.")
        if not byte & 128:
            yield value // 2 if value % 2 == 0 else -(value + 1) // 2
            value = shift = 0
    if shift:
        raise ValueError("The last number is cut off.")


def _sums(steps: Sequence[int]) -> Iterator[int]:
    total = 0
    for step in steps:
        total += step
        yield total
