"""What an address of Explore says comes back as it was, whatever somebody typed there; and what browsers send."""

from __future__ import annotations

import random
from uuid import UUID

import numpy as np
import pytest

from pages.parts.explore_address import (
    COLOURS,
    MAX_SELECTION,
    Look,
    Place,
    explore_query,
    is_explore_key,
    read_look,
    write_look,
)
from pages.parts.explore_colours import NO_CLUSTER, Colouring, Entry
from pages.parts.explore_figure import figure_html
from pages.parts.explore_legend import read_hidden
from pages.parts.explore_palette import SCALE, Pair, colours_of
from pages.parts.explore_search import read_text
from pages.parts.lab_address import Side
from pages.parts.map_view import Colours
from rag.curation.selections import Selection
from rag.mapping.typed_words import patterns_of, split_typed

COLLECTION = UUID("aaaaaaaa-0000-4000-8000-000000000001")


def any_look(chance: random.Random) -> Look:
    return Look(
        chance.choice([None, 3, 2**40]),
        chance.choice(COLOURS),
        chance.randint(1, 5),
        chance.choice(["", "How long is the warranty?", "a & b = c #?"]),
        chance.choice([Side(), Side("Careful", 2, {"k": 5, "threshold": 0.25}), Side(changes={"mode": "dense"})]),
        chance.choice(["", "pump", 'war "two words"']),
        tuple(sorted(chance.sample([*range(40), NO_CLUSTER], chance.choice([0, 1, 7, 30])))),
        chance.choice(["", Selection.of_polygon([(0, 0), (9, 0), (9, 65_535)]).to_text()]),
        chance.choice([None, Place(100, 65_535, 2.5), Place(32_000, 0, 0.5)]),
        chance.random() < 0.5,
        chance.random() < 0.5,
        chance.choice([None, 12]),
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_look_survives_its_address(seed: int) -> None:
    look = any_look(random.Random(seed))
    query = write_look(look)
    assert read_look(query) == (look, [])
    assert all(map(is_explore_key, query))


def test_what_is_as_usual_is_left_out() -> None:
    assert write_look(Look()) == {}


def test_a_selection_too_long_for_an_address_stays_out_of_it() -> None:
    assert "sel" not in write_look(Look(selection="k" + "A" * MAX_SELECTION))


def test_links_of_other_pages() -> None:
    document = UUID("bbbbbbbb-0000-4000-8000-000000000001")
    look, problems = read_look(explore_query(COLLECTION, documents=[document], question="Why?"))
    assert not problems
    assert Selection.from_text(look.selection) == Selection.of_documents([document])
    assert look.question == "Why?"
    chunks = read_look(explore_query(COLLECTION, 4, chunks=[9, 7]))[0]
    assert (chunks.map_id, Selection.from_text(chunks.selection).numbers) == (4, (7, 9))
    assert read_look(explore_query(COLLECTION, run=3))[0].colour == "judged"


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "mood"},
        {"level": "9"},
        {"level": "x"},
        {"map": "-1"},
        {"map": "9" * 30},
        {"map": "٣"},
        {"run": "1.5"},
        {"at": "1,2"},
        {"at": "nan,1,1"},
        {"at": "1,1,0"},
        {"at": "1,inf,1"},
        {"hide": "x,1"},
        {"k": "many"},
    ],
)
def test_what_cannot_be_meant_is_said_and_left_out(query: dict[str, str]) -> None:
    look, problems = read_look(query)
    assert look == Look()
    assert len(problems) == 1


def test_numbers_that_nobody_hides_are_cut() -> None:
    assert len(read_look({"hide": "0-99999"})[0].hidden) <= 501


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        ({"hidden": [3, 1, 3]}, (1, 3)),
        ({"hidden": []}, ()),
        ({"hidden": ["1"]}, None),
        ({"hidden": [True]}, None),
        ({"hidden": [-1]}, None),
        ({"hidden": [0] * 5001}, None),
        (None, None),
        ([1], None),
    ],
)
def test_what_the_legend_sends(value: object, hidden: tuple[int, ...] | None) -> None:
    assert read_hidden(value) == hidden


def test_what_the_search_field_sends() -> None:
    assert read_text({"text": "  a \x00 b\n"}) == "a b"
    assert read_text({"text": 3}) is None
    assert read_text("a") is None


def test_typed_words() -> None:
    assert split_typed('pump "after  delivery" wei "open') == ["pump", "after delivery", "wei", "open"]
    assert patterns_of("a_b 100%") == ["%100\\%%", "%a\\_b%"]
    assert len(split_typed(" ".join(map(str, range(20))))) == 6


def test_a_scale_is_spread_over_all_of_its_colours() -> None:
    assert colours_of(["scale"] * 3)[::2] == [SCALE[0], SCALE[9]]
    own = colours_of(["own", "none", "own"])
    assert own[0] != own[2]


def test_a_figure_takes_no_names_for_markup() -> None:
    entry = Entry(0, "<script>alert(1)</script>", 2, Pair("#112233", "#445566"))
    colouring = Colouring("document", Colours(), [entry], [], np.array([0, 0, -1], np.int32))
    page = figure_html("A <b>title", colouring, np.array([0, 1]), np.array([[1, 2], [3, 4]])).decode()
    assert "<script>alert(1)" not in page
    assert "#112233" in page
