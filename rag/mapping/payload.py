"""The points of a map as a browser gets them: a short header, then eight bytes a place, in columns."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import psycopg

from rag.errors import NotFound

#: The first bytes of every payload; the last of them is the version of the layout.
MAGIC = b"CSMAP\x00\x00\x01"
#: Bytes of one place.
PLACE_BYTES = 8
#: The leaf of a point in no cluster, and that of a place whose chunk is gone; its x and y are 65535 then.
NO_LEAF, HOLE = 65535, 65534
#: The document ordinal of all documents beyond the first 65,534.
OTHERS = 65534

Integers = npt.NDArray[np.signedinteger[Any]]

_ORDINALS = """
    select p.document_id, (row_number() over (order by min(p.place)) - 1)::int as ordinal
    from public.map_points p where p.map_id = %s group by p.document_id
"""
#: Three strings of bytes instead of rows: a million rows take the driver two seconds, and these a tenth of that.
_POINTS = f"""
    select string_agg(int8send((p.place::bigint << 32) | (p.x::bigint << 16) | p.y::bigint), ''::bytea),
           string_agg(int4send(p.leaf), ''::bytea), string_agg(int4send(d.ordinal), ''::bytea)
    from public.map_points p join ({_ORDINALS}) d using (document_id) where p.map_id = %s
"""


class PointsVersion(NamedTuple):
    """What a payload depends on: the map's version, and which of its points this person sees, counted and summed."""

    version: int
    points: int
    places: int

    def __str__(self) -> str:
        return f"{self.version}-{self.points}-{self.places}"


def points_version(conn: psycopg.Connection[Any], map_id: int) -> PointsVersion:
    """Changes whenever :func:`encode_points` would. :class:`NotFound` for a map that isn't shared with the person."""
    row = conn.execute(
        """
        select m.version, p.points, p.places
        from public.maps m
        cross join lateral (
            select count(*) as points, coalesce(sum(place), 0)::bigint as places
            from public.map_points where map_id = m.id
        ) p
        where m.id = %s
        """,
        [map_id],
    ).fetchone()
    if row is None:
        raise NotFound("That map doesn't exist, or it isn't shared with you.")
    return PointsVersion(*row)


def document_ordinals(conn: psycopg.Connection[Any], map_id: int) -> list[UUID]:
    """The documents of a map in the order of their ordinals, which is that of their first places."""
    rows = conn.execute(_ORDINALS + " order by 2", [map_id])
    return [document for document, _ in rows]


def encode_points(conn: psycopg.Connection[Any], map_id: int) -> bytes:
    """:data:`MAGIC`, the header's length as u32, the header as JSON, then the columns x, y, leaf and document.

    The columns are little endian u16 and begin at a multiple of 8. The header has ``map``, ``version``, ``places``,
    ``points`` and ``documents``. :class:`NotFound` for a map that isn't shared with the person.
    """
    seen = points_version(conn, map_id)
    packed, leaf, document = _read_points(conn, map_id)
    place = (packed >> 32).astype(np.intp)
    places = int(place.max(initial=-1)) + 1
    columns = np.full((4, places), 65535, "<u2")
    columns[2] = HOLE
    columns[0, place], columns[1, place] = (packed >> 16) & 65535, packed & 65535
    columns[2, place] = np.where(leaf < 0, NO_LEAF, np.minimum(leaf, HOLE - 1))
    columns[3, place] = np.minimum(document, OTHERS)
    documents = int(document.max(initial=-1)) + 1
    header = {"map": map_id, "version": seen.version, "places": places, "points": seen.points, "documents": documents}
    return _packed_header(header) + columns.tobytes()


def _read_points(conn: psycopg.Connection[Any], map_id: int) -> tuple[Integers, Integers, Integers]:
    """Of every point: place, x and y in one number; its leaf; its document's ordinal."""
    with conn.cursor(binary=True) as cursor:
        row = cursor.execute(_POINTS, [map_id, map_id]).fetchone()
    packed, leaf, document = (part or b"" for part in row or (b"", b"", b""))
    return np.frombuffer(packed, ">i8"), np.frombuffer(leaf, ">i4"), np.frombuffer(document, ">i4")


def _packed_header(header: dict[str, int]) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % PLACE_BYTES)
    return MAGIC + struct.pack("<I", len(text)) + text
