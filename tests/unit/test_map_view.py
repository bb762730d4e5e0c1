"""What goes to the map in the browser, what is believed of what comes back, and that the bundle is of these sources."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest

from pages.parts.map_view import MapState, View, channel_address, read_state

MAP = Path(__file__).parents[2] / "corpuscope" / "map"


def sent(value: Any, map_id: int = 7) -> dict[str, Any]:
    return {"map": map_id, "value": value}


def test_what_the_browser_sends_becomes_a_state() -> None:
    state = read_state(
        7, {"view": sent([100, 200.5, 2]), "polygon": sent([[0, 0], [9, 0], [9, 9]]), "clicked": sent(12)}
    )
    assert state == MapState(View(100.0, 200.5, 2.0), [(0.0, 0.0), (9.0, 0.0), (9.0, 9.0)], 12)


def test_nothing_sent_is_an_empty_state() -> None:
    assert read_state(7, {}) == MapState()
    assert read_state(7, {"view": None, "polygon": sent(None), "clicked": None}) == MapState()


def test_a_selection_that_was_cleared_is_told_from_none_at_all() -> None:
    assert read_state(7, {"polygon": sent([])}).polygon == []


def test_a_state_of_another_map_is_not_taken_over() -> None:
    assert (
        read_state(7, {"polygon": sent([[0, 0], [9, 0], [9, 9]], map_id=6), "clicked": sent(1, map_id=6)}) == MapState()
    )


@pytest.mark.parametrize(
    "view", [[1, 2], [1, 2, 0], [1, 2, -3], ["1", 2, 3], [math.inf, 1, 1], [math.nan, 1, 1], 5, {}]
)
def test_a_view_that_cannot_be_meant_is_none(view: Any) -> None:
    assert read_state(7, {"view": sent(view)}).view is None


@pytest.mark.parametrize(
    "polygon", [[[0, 0], [1, 1]], [[0, 0], [1, 1], [2]], [[0, 0], [1, 1], [True, 2]], "abc", [1, 2, 3]]
)
def test_a_polygon_that_cannot_be_meant_is_none(polygon: Any) -> None:
    assert read_state(7, {"polygon": sent(polygon)}).polygon is None


@pytest.mark.parametrize("place", [-1, True, 1.5, "3", None])
def test_a_place_that_cannot_be_meant_is_none(place: Any) -> None:
    assert read_state(7, {"clicked": sent(place)}).clicked is None


def test_the_address_of_a_channel_is_the_same_for_the_same_arguments() -> None:
    one = channel_address(3, "text", {"text": "a&b", "at": "1"})
    assert one == channel_address(3, "text", {"at": "1", "text": "a&b"}) == "/api/maps/3/channel/text?at=1&text=a%26b"


def test_the_bundle_was_built_from_these_sources() -> None:
    sources = sorted([MAP / "package.json", MAP / "build.mjs", *(MAP / "source").iterdir()], key=lambda path: path.name)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    built = (MAP / "build" / "SOURCES").read_text().strip()
    assert built == digest, "corpuscope/map/source was changed: run `make map` and commit corpuscope/map/build"


def test_there_is_one_bundle_of_each_kind() -> None:
    assert [len(list((MAP / "build").glob(f"map-*.{kind}"))) for kind in ("js", "css")] == [1, 1]
