"""What an address of Explore says: the map, its colours, what is asked, looked for, hidden and selected, and where."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from pages.parts.lab_address import Side, View, is_lab_key, read_view, write_view
from rag.curation.selections import Selection

Colour = Literal["cluster", "document", "tag", "date", "language", "similarity", "judged", "lag", "excluded"]
COLOURS: tuple[Colour, ...] = get_args(Colour)

#: How fine clusters are: 1 is the coarsest, 5 the finest.
LEVELS = (1, 2, 3, 4, 5)
LEVEL = 3
MAX_TEXT = 200
#: Most characters of a selection in an address; a larger one lives in the session only.
MAX_SELECTION = 6000
_MOST_HIDDEN = 500
#: Both axes of a map.
EXTENT = 65_535
_MOST_ZOOM = 4096.0

_OWN = ("map", "colour", "level", "find", "hide", "sel", "at", "contours", "labels", "run")


class Place(NamedTuple):
    """Which part of a map is looked at: the middle, in map units, and how many times it is enlarged."""

    x: float
    y: float
    zoom: float


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that a link to Explore reproduces, but for the collection.

    ``map_id`` None is the newest map. ``side`` is how the question is asked: a profile and what is changed of it.
    ``hidden`` are the numbers of legend entries, ``selection`` is ``Selection.to_text()``, and ``run`` the evaluation
    run whose missed answers are shown.
    """

    map_id: int | None = None
    colour: Colour = "cluster"
    level: int = LEVEL
    question: str = ""
    side: Side = field(default_factory=Side)
    text: str = ""
    hidden: tuple[int, ...] = ()
    selection: str = ""
    place: Place | None = None
    contours: bool = False
    labels: bool = True
    run: int | None = None


def explore_query(
    collection_id: UUID,
    map_id: int | None = None,
    *,
    documents: Iterable[UUID] | None = None,
    chunks: Iterable[int] | None = None,
    selection: str = "",
    question: str | None = None,
    side: Side | None = None,
    text: str = "",
    run: int | None = None,
    colour: Colour | None = None,
) -> dict[str, str]:
    """The query parameters that open the map, for ``st.page_link("pages/explore.py", …)``.

    ``documents`` or ``chunks`` come selected, as ``selection`` (``Selection.to_text()``) does; ``question`` is asked
    under ``side``; ``run`` shows the missed answers of an evaluation run. Without a map it is the newest one.
    """
    if documents is not None or chunks is not None:
        selection = _select(documents, chunks)
    look = Look(
        map_id,
        colour or ("judged" if run else "cluster"),
        question=question or "",
        side=side or Side(),
        text=text,
        selection=selection,
        run=run,
    )
    return {"collection": str(collection_id)} | write_look(look)


def _select(documents: Iterable[UUID] | None, chunks: Iterable[int] | None) -> str:
    if documents is not None:
        return Selection.of_documents(documents).to_text()
    return Selection.of_chunks(chunks or ()).to_text()


def write_look(look: Look) -> dict[str, str]:
    """The look as query parameters; what is as usual is left out, and so is a selection too long for an address."""
    query = write_view(View(look.question, look.side)) if look.question or look.side != Side() else {}
    usual = Look()
    if look.map_id is not None:
        query["map"] = str(look.map_id)
    if look.colour != usual.colour:
        query["colour"] = look.colour
    if look.level != usual.level:
        query["level"] = str(look.level)
    if look.text:
        query["find"] = look.text[:MAX_TEXT]
    if look.hidden:
        query["hide"] = _write_numbers(look.hidden)
    if look.selection and len(look.selection) <= MAX_SELECTION:
        query["sel"] = look.selection
    if look.place is not None:
        query["at"] = f"{look.place.x:.0f},{look.place.y:.0f},{look.place.zoom:.4g}"
    if look.contours:
        query["contours"] = "1"
    if not look.labels:
        query["labels"] = "0"
    if look.run is not None:
        query["run"] = str(look.run)
    return query


def read_look(query: Mapping[str, str]) -> tuple[Look, list[str]]:
    """The look that an address names, and a sentence for each thing in it that can't be meant. Never raises."""
    view, problems = read_view({name: value for name, value in query.items() if name != "only"})
    named = query.get("colour", "cluster")
    colour = next((one for one in COLOURS if one == named), None)
    if colour is None:
        problems.append(f"There is no colouring by {named[:40]!r}; clusters are shown.")
    return (
        Look(
            _read_id(query, "map", problems),
            colour or "cluster",
            _read_level(query, problems),
            view.question,
            view.side,
            query.get("find", "").replace("\x00", " ").strip()[:MAX_TEXT],
            _read_numbers(query.get("hide", ""), problems),
            query.get("sel", "")[:MAX_SELECTION],
            _read_place(query.get("at"), problems),
            query.get("contours") == "1",
            query.get("labels") != "0",
            _read_id(query, "run", problems),
        ),
        problems,
    )


def is_explore_key(name: str) -> bool:
    """Whether a query parameter is Explore's own."""
    return name in _OWN or (is_lab_key(name) and name != "only" and not name.startswith("vs_"))


def _write_numbers(numbers: Iterable[int]) -> str:
    """``1,4-7``: runs take little room."""
    parts: list[str] = []
    begin = last = None
    for number in [*sorted(set(numbers)), None]:
        if begin is None or last is None:
            begin = last = number
        elif number == last + 1:
            last = number
        else:
            parts.append(str(begin) if begin == last else f"{begin}-{last}")
            begin = last = number
    return ",".join(parts)


def _read_numbers(text: str, problems: list[str]) -> tuple[int, ...]:
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip(), re.ASCII)
        if match is None:
            problems.append("The address hides something that can't be a number; the rest counts.")
            break
        first, last = int(match[1]), int(match[2] or match[1])
        numbers |= set(range(first, min(last, first + _MOST_HIDDEN) + 1))
    return tuple(sorted(numbers))[:_MOST_HIDDEN]


def _read_id(query: Mapping[str, str], name: str, problems: list[str]) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if re.fullmatch(r"[1-9]\d{0,17}", text, re.ASCII):
        return int(text)
    problems.append(f"The address says {name}={text[:40]}, which can't be one.")
    return None


def _read_level(query: Mapping[str, str], problems: list[str]) -> int:
    text = query.get("level", str(LEVEL))
    if text in {str(level) for level in LEVELS}:
        return int(text)
    problems.append("How fine the clusters are goes from 1 to 5.")
    return LEVEL


def _read_place(text: str | None, problems: list[str]) -> Place | None:
    if text is None:
        return None
    try:
        x, y, zoom = (float(part) for part in text.split(","))
    except ValueError:
        x = math.nan
    if math.isnan(x) or not all(map(math.isfinite, (x, y, zoom))) or zoom <= 0:
        problems.append("The part of the map that the address names can't be meant; all of it is shown.")
        return None
    return Place(min(max(x, 0.0), EXTENT), min(max(y, 0.0), EXTENT), min(max(zoom, 0.1), _MOST_ZOOM))
