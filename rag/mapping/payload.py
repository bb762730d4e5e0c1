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

_COPY_HEADER = 19
#: A row of COPY's binary format: the number of fields, then a length and four bytes each.
_ROW = np.dtype(
    [("fields", ">i2")]
    + [part for name in ("place", "x", "y", "leaf", "document") for part in ((f"n_{name}", ">i4"), (name, ">i4"))]
)
_ORDINALS = """
    select p.document_id, (row_number() over (order by min(p.place)) - 1)::int as ordinal
    from public.map_points p where p.map_id = %s group by p.document_id
"""
_COPY = f"""
    copy (
        select p.place, p.x, p.y, coalesce(p.leaf, -1), d.ordinal
        from public.map_points p join ({_ORDINALS}) d using (document_id) where p.map_id = %s
    ) to stdout (format binary)
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
    rows = _read_rows(conn, map_id)
    places = int(rows["place"].max(initial=-1)) + 1
    columns = np.full((4, places), 65535, "<u2")
    columns[2] = HOLE
    at = rows["place"].astype(np.intp)
    columns[0, at], columns[1, at] = rows["x"], rows["y"]
    columns[2, at] = np.where(rows["leaf"] < 0, NO_LEAF, np.minimum(rows["leaf"], HOLE - 1))
    columns[3, at] = np.minimum(rows["document"], OTHERS)
    documents = int(rows["document"].max(initial=-1)) + 1
    header = {"map": map_id, "version": seen.version, "places": places, "points": seen.points, "documents": documents}
    return _packed_header(header) + columns.tobytes()


def _read_rows(conn: psycopg.Connection[Any], map_id: int) -> npt.NDArray[np.void]:
    """Every point, by COPY: its rows have one length, so that numpy reads them without a loop."""
    with conn.cursor() as cursor, cursor.copy(_COPY, [map_id, map_id]) as copy:
        received = b"".join(bytes(piece) for piece in copy)
    count = (len(received) - _COPY_HEADER - 2) // _ROW.itemsize
    return np.frombuffer(received, _ROW, count=count, offset=_COPY_HEADER)


def _packed_header(header: dict[str, int]) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % PLACE_BYTES)
    return MAGIC + struct.pack("<I", len(text)) + text
