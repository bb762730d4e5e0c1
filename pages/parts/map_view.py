"""The map as a component: points drawn by WebGL, of which only addresses and small tables go through Streamlit.

The points themselves come from the app's own routes (:mod:`rag.web.points`), and are asked for again only when
``version`` changes: a new colouring, highlight, mark, label or filter sends a table or the address of one byte a place.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import streamlit as st

#: The name that the component has in pyproject.toml, after the distribution's.
COMPONENT = "corpuscope.map"
#: The largest coordinate; both axes have the same scale.
EXTENT = 65535
_HTML = '<div class="cs-map"></div>\n'
#: No colour of the palette: drawn in a plain grey.
NO_COLOUR = -1
#: Beyond this a number is no coordinate of a view or a corner.
_FARTHEST = 1e7

MarkKind = Literal["star", "hit", "cut", "cited", "missed", "found"]


@dataclass(frozen=True, slots=True)
class Colours:
    """How points get their colours: each has a number by its leaf, its document or a channel, and that a colour.

    ``table[number]`` is a place in the palettes or :data:`NO_COLOUR`; numbers beyond it have none. With a ``channel``
    (an address, see :func:`channel_address`) an empty table means that its bytes are the places in the palettes, 255
    none. ``hidden`` are places in the palettes, or :data:`NO_COLOUR`, whose points are not drawn. Colours are #rrggbb.
    """

    by: Literal["leaf", "document", "channel"] = "leaf"
    channel: str | None = None
    table: Sequence[int] = ()
    palette_light: Sequence[str] = ()
    palette_dark: Sequence[str] = ()
    hidden: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """Words at a place; where two would overlap, that of more ``points`` is shown, and the other after zooming in."""

    x: float
    y: float
    text: str
    points: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Something on top of the points. ``text`` is short: a rank; ``place`` is the point that a click on it opens."""

    x: float
    y: float
    kind: MarkKind
    text: str = ""
    place: int | None = None


class View(NamedTuple):
    """What is seen: the middle, and how many times the whole map is enlarged."""

    x: float
    y: float
    zoom: float


@dataclass(frozen=True, slots=True)
class MapState:
    """What a person has done: where they look, what they selected, and the place they have just clicked, once.

    ``polygon`` is empty after a selection was cleared, and None as long as nothing was selected or cleared here.
    """

    view: View | None = None
    polygon: list[tuple[float, float]] | None = None
    clicked: int | None = None


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A line of the legend that a downloaded picture shows; ``number`` is its place in the palettes."""

    number: int
    label: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What a downloaded picture carries besides the points."""

    title: str = ""
    legend: Sequence[LegendEntry] = field(default_factory=tuple)


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(COMPONENT, js="map-*.js", css="map-*.css", html=_HTML)


def map_view(
    key: str,
    *,
    map_id: int,
    version: object,
    colours: Colours,
    labels: Sequence[Label] = (),
    marks: Sequence[Mark] = (),
    dim: str | None = None,
    selection: Sequence[tuple[float, float]] | None = None,
    view: View | None = None,
    contours: bool = False,
    height: int = 620,
    frame: Frame | None = None,
    table_twin: str = "",
) -> MapState:
    """Draw the map, and say what was done on it. The view and the selection stay as they are from run to run.

    ``version`` is ``rag.mapping.payload.points_version``. ``dim`` is the address of a channel whose zero bytes are
    drawn faintly. ``selection`` (a polygon in map units) and ``view`` change what is shown only when they differ from
    those of the run before: hand back what the state said, or something new. ``table_twin`` is the id of the element
    that holds the same as a table, to which keyboards and browsers without WebGL are pointed.
    """
    data = {
        "map": map_id,
        "points": f"/api/maps/{map_id}/points?v={version}",
        "point": f"/api/maps/{map_id}/point/",
        "colours": _colours(colours),
        "labels": [[label.x, label.y, label.text, label.points] for label in labels],
        "marks": [asdict(mark) for mark in marks],
        "dim": dim,
        "selection": [list(point) for point in selection] if selection else None,
        "view": list(view) if view else None,
        "contours": contours,
        "height": height,
        "frame": asdict(frame) if frame else None,
        "twin": table_twin,
    }
    result = _component()(
        key=key,
        data=data,
        height=height,
        on_view_change=_nothing,
        on_polygon_change=_nothing,
        on_clicked_change=_nothing,
    )
    return read_state(map_id, result)


def held_state(key: str, map_id: int) -> MapState:
    """The same as :func:`map_view` will say in this run, before it is drawn."""
    return read_state(map_id, st.session_state.get(key, {}))


def channel_address(map_id: int, kind: str, arguments: Mapping[str, str] | None = None) -> str:
    """Where the browser finds a channel of :func:`rag.mapping.channels.read_channel`."""
    from urllib.parse import urlencode

    return f"/api/maps/{map_id}/channel/{kind}?{urlencode(sorted((arguments or {}).items()))}"


def read_state(map_id: int, result: Mapping[str, Any]) -> MapState:
    """What the browser sent, as far as it can be meant and is about this map."""
    view, polygon, clicked = (_of_map(map_id, result.get(name)) for name in ("view", "polygon", "clicked"))
    numbers = _numbers(view, 3)
    place = clicked if isinstance(clicked, int) and not isinstance(clicked, bool) and clicked >= 0 else None
    return MapState(
        view=View(*numbers) if numbers and numbers[2] > 0 else None, polygon=_polygon(polygon), clicked=place
    )


def _polygon(value: Any) -> list[tuple[float, float]] | None:
    if not isinstance(value, list):
        return None
    points = [_numbers(point, 2) for point in value]
    whole = [(point[0], point[1]) for point in points if point]
    return whole if len(whole) == len(points) and len(whole) not in (1, 2) else None


def _of_map(map_id: int, value: Any) -> Any:
    return value.get("value") if isinstance(value, Mapping) and value.get("map") == map_id else None


def _numbers(value: Any, count: int) -> list[float] | None:
    if not isinstance(value, list) or len(value) != count:
        return None
    plain = [float(number) for number in value if isinstance(number, int | float) and not isinstance(number, bool)]
    return plain if len(plain) == count and all(abs(number) < _FARTHEST for number in plain) else None


def _colours(colours: Colours) -> dict[str, Any]:
    """The table as base64 of i16: a table of 65,534 documents is 175 kB instead of 400."""
    table = np.asarray(colours.table, dtype="<i2")
    return {
        "by": colours.by,
        "channel": colours.channel,
        "table": base64.b64encode(table.tobytes()).decode(),
        "light": list(colours.palette_light),
        "dark": list(colours.palette_dark),
        "hidden": list(colours.hidden),
    }


def _nothing() -> None:
    """A state's callback: without one, its value would be missing until it first changes."""
