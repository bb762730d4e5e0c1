"""What the points of a map are coloured and dimmed by: one byte a place, and a legend that says what the bytes mean.

A channel is read under the policies of the person who asks. The byte of a place is the number of a legend entry, or
:data:`NOTHING` where there is nothing to say: a hole, or a chunk that the asker can't see.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import psycopg

from rag.curation.selecting import Selection, selected_places
from rag.errors import InvalidInput, NotFound
from rag.mapping import channel_marks as marks
from rag.mapping import channel_values as values
from rag.mapping.channel_values import NOTHING, Bytes, MapSize
from rag.mapping.recent_channels import Asked, Recent

ChannelKind = Literal[
    "cluster", "document", "tag", "date", "similarity", "text", "judged", "lag", "language", "excluded"
]
KINDS: tuple[ChannelKind, ...] = get_args(ChannelKind)

#: How an entry is drawn: a colour of its own, a step of a scale from low to high, or with a meaning.
Ink = Literal["own", "scale", "other", "none", "good", "bad", "waiting"]


@dataclass(frozen=True, slots=True)
class Legend:
    """One entry: the bytes with this ``number`` mean ``label``, and ``count`` points of the map have it.

    ``colour`` says of which kind its colour is. Entries of "scale" come from low to high.
    """

    number: int
    label: str
    count: int
    colour: Ink = "own"


@dataclass(frozen=True, slots=True)
class Channel:
    """``values[place]`` is the number of a legend entry, or :data:`NOTHING`."""

    values: bytes
    legend: tuple[Legend, ...]

    @property
    def array(self) -> Bytes:
        """The same for numpy."""
        return np.frombuffer(self.values, np.uint8)


Arguments = Mapping[str, str]

#: What takes long, is asked for twice (by the page and by the browser), and depends on what is looked for.
_SEARCHES = {"text": ("text", "sel"), "similarity": ("vector",)}
_recent: Recent[Channel] = Recent()


def read_channel(conn: psycopg.Connection[Any], map_id: int, kind: str, arguments: Arguments) -> Channel:
    """One byte for each place of the map, from 0 to the last.

    ``arguments`` come from an address: "similarity" has ``vector`` (:func:`pack_vector`); "text" has ``text``, and
    ``sel``, a selection as text, within which alone it looks; "judged" has ``run`` or ``set``. Raises :class:`NotFound`
    for a map that is gone or not shared with the person, and :class:`InvalidInput` for what can't be meant.
    """
    if kind not in _READERS:
        raise InvalidInput(f"A map has no colouring by {kind[:40]!r}.")
    size = read_size(conn, map_id)
    if kind not in _SEARCHES:
        return _READERS[kind](conn, size, arguments)
    asked = _asked(conn, size, kind, arguments)
    return _recent.find(asked) or _recent.keep(asked, _READERS[kind](conn, size, arguments))


def _asked(conn: psycopg.Connection[Any], size: MapSize, kind: str, arguments: Arguments) -> Asked:
    meant = sorted((name, arguments[name]) for name in _SEARCHES[kind] if arguments.get(name))
    return Asked(conn.info.dsn, size.person, size.id, size.version, kind, tuple(meant))


def read_size(conn: psycopg.Connection[Any], map_id: int) -> MapSize:
    """The map's own facts that its channels need; :class:`NotFound` without access."""
    row = conn.execute(
        """
        select m.id, m.collection_id, m.index_id,
               coalesce((select max(p.place) + 1 from public.map_points p where p.map_id = m.id), 0),
               m.version, auth.uid()
        from public.maps m where m.id = %s
        """,
        [map_id],
    ).fetchone()
    if row is None:
        raise NotFound("That map doesn't exist, or it isn't shared with you.")
    return MapSize(*row)


def read_leaves(conn: psycopg.Connection[Any], map_id: int) -> values.Integers:
    """The leaf cluster of each place, -1 in none, -2 where there is no point any more."""
    return values.leaf_values(conn, read_size(conn, map_id))


def read_positions(conn: psycopg.Connection[Any], map_id: int) -> npt.NDArray[np.int32]:
    """[places, 2] in map units, -1 where there is no point any more."""
    return np.stack(values.position_values(conn, read_size(conn, map_id)), axis=1)


def pack_vector(vector: Sequence[float] | npt.NDArray[np.floating[Any]]) -> str:
    """A question's vector for an address: a byte a number, 512 characters of 384.

    Each number keeps 127 steps of the largest; that moves a cosine by less than .002, which no colour shows.
    """
    full = np.asarray(vector, np.float32)
    largest = float(np.abs(full).max(initial=0.0)) or 1.0
    return base64.urlsafe_b64encode(np.rint(full / largest * 127).astype(np.int8).tobytes()).decode().rstrip("=")


def unpack_vector(packed: str) -> npt.NDArray[np.float32]:
    """The unit vector of :func:`pack_vector`; :class:`InvalidInput` for anything else."""
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("That is no vector.") from error
    vector = np.frombuffer(raw, np.int8).astype(np.float32)
    length = float(np.linalg.norm(vector))
    if not length:
        raise InvalidInput("That is no vector.")
    return vector / np.float32(length)


def _channel(found: Bytes, labels: Sequence[tuple[str, Ink]]) -> Channel:
    """Entries with no point are left out, but for those of a scale, whose steps belong together."""
    counts = np.bincount(found, minlength=256)
    legend = tuple(
        Legend(number, label, int(counts[number]), ink)
        for number, (label, ink) in enumerate(labels)
        if counts[number] or ink == "scale"
    )
    return Channel(found.tobytes(), legend)


def _read_documents(conn: psycopg.Connection[Any], size: MapSize, _: Arguments) -> Channel:
    found, names, rest = values.document_values(conn, size)
    labels: list[tuple[str, Ink]] = [(name, "own") for name in names]
    return _channel(found, [*labels, (f"{rest:,} other documents", "other")])


def _read_tags(conn: psycopg.Connection[Any], size: MapSize, _: Arguments) -> Channel:
    found, tags = marks.tag_values(conn, size)
    labels: list[tuple[str, Ink]] = [(tag, "own") for tag in tags]
    return _channel(found, [("No tag", "none"), *labels, ("Several tags, or a rarer one", "other")])


def _read_dates(conn: psycopg.Connection[Any], size: MapSize, _: Arguments) -> Channel:
    found, labels = values.date_values(conn, size)
    return _channel(found, [(label, "scale") for label in labels])


def _read_languages(conn: psycopg.Connection[Any], size: MapSize, _: Arguments) -> Channel:
    found, names = values.language_values(conn, size)
    labels: list[tuple[str, Ink]] = [(name, "own") for name in names]
    return _channel(found, [*labels, ("Other languages", "other"), ("Unknown", "none")])


def _read_similarities(conn: psycopg.Connection[Any], size: MapSize, arguments: Arguments) -> Channel:
    found, labels = values.similarity_values(conn, size, unpack_vector(arguments.get("vector", "")))
    return _channel(found, [(label, "scale") for label in labels])


def _read_matches(conn: psycopg.Connection[Any], size: MapSize, arguments: Arguments) -> Channel:
    within = _recent.find_wider(_asked(conn, size, "text", arguments))
    narrow = np.flatnonzero(within.array == 1) if within is not None else None
    found = values.text_values(conn, size, arguments.get("text", ""), narrow)
    if chosen := arguments.get("sel", ""):
        selected = np.zeros(size.places, np.bool_)
        selected[selected_places(conn, size.id, Selection.from_text(chosen))] = True
        found[~selected & (found == 1)] = 0
    return _channel(found, [("Not meant", "none"), ("Meant", "good")])


def _read_judged(conn: psycopg.Connection[Any], size: MapSize, arguments: Arguments) -> Channel:
    run = _number(arguments, "run")
    if run is not None:
        found = marks.missed_values(conn, size, run)
        return _channel(found, [("Not judged", "none"), ("Found by the run", "good"), ("Missed by the run", "bad")])
    found = marks.judged_values(conn, size, _number(arguments, "set"))
    return _channel(found, [("Not judged", "none"), ("Answers a question", "good"), ("Judged to be no answer", "bad")])


def _read_lag(conn: psycopg.Connection[Any], size: MapSize, _: Arguments) -> Channel:
    found = marks.lag_values(conn, size)
    labels: list[tuple[str, Ink]] = [
        ("Part of the layout", "own"),
        ("Placed later, without a new layout", "waiting"),
        ("Of a document that still waits for vectors", "bad"),
    ]
    return _channel(found, labels)


def _read_excluded(conn: psycopg.Connection[Any], size: MapSize, _: Arguments) -> Channel:
    return _channel(marks.excluded_values(conn, size), [("In search", "own"), ("Left out of search", "bad")])


def _read_clusters(conn: psycopg.Connection[Any], size: MapSize, _: Arguments) -> Channel:
    """In a cluster or in none; which one is in the payload's leaves."""
    leaves = values.leaf_values(conn, size)
    found = np.where(leaves >= 0, 0, np.where(leaves == values.HOLE, NOTHING, 1)).astype(np.uint8)
    return _channel(found, [("In a cluster", "own"), ("In none", "none")])


def _number(arguments: Arguments, name: str) -> int | None:
    text = arguments.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(f"{name} is the number of one.")
    return int(text)


_READERS: dict[str, Callable[[psycopg.Connection[Any], MapSize, Arguments], Channel]] = {
    "cluster": _read_clusters,
    "document": _read_documents,
    "tag": _read_tags,
    "date": _read_dates,
    "similarity": _read_similarities,
    "text": _read_matches,
    "judged": _read_judged,
    "lag": _read_lag,
    "language": _read_languages,
    "excluded": _read_excluded,
}
