"""What the points of a map are coloured by: a byte a place that agrees with the rows, and nothing for strangers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
import pytest

from rag.corpus.marks import exclude_span, tag_span
from rag.curation.selections import Selection
from rag.errors import InvalidInput, NotFound
from rag.mapping.channels import KINDS, Channel, pack_vector, read_channel, read_leaves, read_positions, unpack_vector
from rag.mapping.map_listing import list_points, read_target
from rag.mapping.maps import CorpusMap
from rag.store.database import Database
from tests.integration.handmade_map import draw_map
from tests.integration.searchable import add_document

PUMP = ["The Falcon pump lifts water.", "Warranty of the PUMP: 27 months.", "100% of it, a_b and c\\d."]
LAKE = ["Ducks swim in the lake.", "Enten schwimmen im See."]


class Drawn:
    """A collection of two documents with a map: places 0 to 2 are the pump's chunks, 3 and 4 the lake's."""

    def __init__(self, database: Database, owner: UUID, collection: UUID) -> None:
        self.database, self.owner, self.collection = database, owner, collection
        self.pump, self.pump_chunks = add_document(
            database, collection, PUMP, name="pump.md", vectors=[[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0]]
        )
        self.lake, self.lake_chunks = add_document(
            database, collection, LAKE, name="lake.md", language="de", vectors=[[0, 0, 1, 0], [0, 0, 0, 1]]
        )
        with database.as_owner() as conn:
            conn.execute("update public.documents set char_count = 1000")
        self.map: CorpusMap = draw_map(database, collection, owner)

    def read(self, kind: str, **arguments: str) -> Channel:
        with self.database.as_user(self.owner) as conn:
            return read_channel(conn, self.map.id, kind, arguments)

    def labels(self, kind: str, **arguments: str) -> list[str]:
        """What each place is called."""
        channel = self.read(kind, **arguments)
        names = {one.number: one.label for one in channel.legend}
        assert sum(one.count for one in channel.legend) == sum(value != 255 for value in channel.values)
        return [names.get(value, "-") for value in channel.values]

    def act(self, work: Callable[[psycopg.Connection[Any]], object]) -> None:
        with self.database.as_user(self.owner) as conn:
            work(conn)


@pytest.fixture
def drawn(database: Database, alice: UUID, corpus: UUID) -> Drawn:
    return Drawn(database, alice, corpus)


def test_documents(drawn: Drawn) -> None:
    assert drawn.labels("document") == ["pump.md"] * 3 + ["lake.md"] * 2


def test_beyond_twelve_documents_are_others(database: Database, alice: UUID, corpus: UUID) -> None:
    for number in range(14):
        add_document(
            database, corpus, ["text"] * (14 - number), name=f"{number}.md", vectors=[[1, 0, 0, 0]] * (14 - number)
        )
    drawn_map = draw_map(database, corpus, alice)
    with database.as_user(alice) as conn:
        legend = read_channel(conn, drawn_map.id, "document", {}).legend
    assert [one.label for one in legend] == [f"{number}.md" for number in range(12)] + ["2 other documents"]
    assert legend[-1].count == 2 + 1


def test_languages(drawn: Drawn) -> None:
    assert drawn.labels("language") == ["English"] * 3 + ["German"] * 2


def test_dates_are_steps_in_their_order(drawn: Drawn) -> None:
    with drawn.database.as_owner() as conn:
        conn.execute("update public.documents set created_at = '2026-01-05' where id = %s", [drawn.pump])
        conn.execute("update public.documents set created_at = '2026-03-05' where id = %s", [drawn.lake])
    channel = drawn.read("date")
    assert len(channel.legend) <= 10
    assert list(channel.values) == [0, 0, 0, *[channel.legend[-1].number] * 2]
    assert channel.legend[0].label == "from 5 Jan 2026"


def test_a_day_has_hours(drawn: Drawn) -> None:
    with drawn.database.as_owner() as conn:
        conn.execute("update public.documents set created_at = '2026-01-05 10:20+00'")
    assert drawn.labels("date") == ["from 5 Jan 10:00"] * 5


def test_tags(drawn: Drawn) -> None:
    drawn.act(lambda conn: tag_span(conn, drawn.pump, 100, 150, "Sales"))
    drawn.act(lambda conn: tag_span(conn, drawn.pump, 200, 220, "Sales"))  # less than half
    drawn.act(lambda conn: tag_span(conn, drawn.lake, 100, 250, "Birds"))
    drawn.act(lambda conn: tag_span(conn, drawn.lake, 200, 230, "Water"))
    several = "Several tags, or a rarer one"
    assert drawn.labels("tag") == ["Sales", "No tag", "No tag", "Birds", several]


def test_excluded_follows_at_once(drawn: Drawn) -> None:
    assert drawn.labels("excluded") == ["In search"] * 5
    drawn.act(lambda conn: exclude_span(conn, drawn.lake, 100, 150))
    assert drawn.labels("excluded") == ["In search"] * 3 + ["Left out of search", "In search"]


def test_similarity_rises_with_the_cosine(drawn: Drawn) -> None:
    channel = drawn.read("similarity", vector=pack_vector([1, 0.2, 0, 0]))
    assert channel.values[0] == 9
    assert channel.values[0] > channel.values[1] > channel.values[2] >= channel.values[3] == 0
    assert [one.colour for one in channel.legend] == ["scale"] * 10


@pytest.mark.parametrize("vector", ["", "!!", "AAAA", pack_vector([1, 0, 0]), pack_vector([1, 0, 0, 0, 0])])
def test_a_vector_that_cannot_be_meant(drawn: Drawn, vector: str) -> None:
    with pytest.raises(InvalidInput):
        drawn.read("similarity", vector=vector)


def test_a_packed_vector_is_nearly_the_same() -> None:
    chance = np.random.default_rng(1)
    vector, other = (one / np.linalg.norm(one) for one in chance.normal(size=(2, 384)))
    packed = unpack_vector(pack_vector(vector))
    assert abs(float(packed @ other) - float(vector @ other)) < 0.002
    assert float(packed @ vector) > 0.9999
    assert len(pack_vector(vector)) == 512


@pytest.mark.parametrize(
    ("typed", "places"),
    [
        ("pump", [0, 1]),
        ("PUMP war", [1]),
        ("falcon  water", [0]),
        ('"pump lifts"', [0]),
        ('"lifts pump"', []),
        ("100%", [2]),
        ("a_b", [2]),
        ("axb", []),
        ("c\\d", [2]),
        ("schwimmen see", [4]),
        ("ee", [4]),
    ],
)
def test_text(drawn: Drawn, typed: str, places: list[int]) -> None:
    assert [place for place, value in enumerate(drawn.read("text", text=typed).values) if value == 1] == places


def test_no_text_matches_everything(drawn: Drawn) -> None:
    assert drawn.labels("text", text="  ") == ["Meant"] * 5


def test_judged(drawn: Drawn) -> None:
    with drawn.database.as_owner() as conn:
        row = conn.execute(
            "insert into evaluation_sets (collection_id, name) values (%s, 'Set') returning id", [drawn.collection]
        ).fetchone()
        assert row is not None
        for start, end, grade in ((110, 120, 2), (210, 260, 0), (310, 320, 0)):
            conn.execute(
                """
                with q as (
                    insert into questions (set_id, collection_id, text) values (%s, %s, %s) returning id, collection_id
                )
                insert into judgements
                    (question_id, collection_id, document_id, text_revision, start_char, end_char, grade)
                select id, collection_id, %s, 1, %s, %s, %s from q
                """,
                [row[0], drawn.collection, f"Question {start}", drawn.pump, start, end, grade],
            )
    answers, none = "Answers a question", "Judged to be no answer"
    assert drawn.labels("judged") == [answers, none, none, "Not judged", "Not judged"]
    assert drawn.labels("judged", set=str(row[0])) == drawn.labels("judged")
    assert drawn.labels("judged", set="999") == ["Not judged"] * 5
    with pytest.raises(InvalidInput):
        drawn.read("judged", set="x")
    with pytest.raises(NotFound):
        drawn.read("judged", run="999")


def test_lag(drawn: Drawn) -> None:
    with drawn.database.as_owner() as conn:
        conn.execute("update public.map_points set placed_later = true where place = 1")
    add_document(drawn.database, drawn.collection, ["more"], name="new.md")
    assert drawn.labels("lag")[:2] == ["Part of the layout", "Placed later, without a new layout"]
    with drawn.database.as_owner() as conn:
        conn.execute(
            "update public.index_documents set chunk_count = chunk_count + 1 where document_id = %s", [drawn.lake]
        )
    assert drawn.labels("lag")[3:] == ["Of a document that still waits for vectors"] * 2


def test_a_hole_has_nothing_to_say(drawn: Drawn) -> None:
    with drawn.database.as_owner() as conn:
        conn.execute("delete from public.chunks where id = %s", [drawn.pump_chunks[1]])
    for kind in KINDS:
        values = drawn.read(kind, vector=pack_vector([1, 0, 0, 0]), text="a").values
        assert (len(values), values[1], values[0] == 255) == (5, 255, False), kind
    with drawn.database.as_user(drawn.owner) as conn:
        assert list(read_leaves(conn, drawn.map.id)) == [0, -2, 2, 3, 0]
        assert read_positions(conn, drawn.map.id).tolist()[:3] == [[0, 0], [-1, -1], [2000, 0]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_gets_nothing(drawn: Drawn, bob: UUID, kind: str) -> None:
    with drawn.database.as_user(bob) as conn, pytest.raises(NotFound):
        read_channel(conn, drawn.map.id, kind, {"vector": pack_vector([1, 0, 0, 0]), "text": "pump"})


def test_a_kind_that_there_is_not(drawn: Drawn) -> None:
    with pytest.raises(InvalidInput):
        drawn.read("colour")


def test_points_as_rows(drawn: Drawn, bob: UUID) -> None:
    drawn.act(lambda conn: tag_span(conn, drawn.pump, 200, 250, "Sales"))
    drawn.act(lambda conn: exclude_span(conn, drawn.pump, 200, 250))
    with drawn.database.as_user(drawn.owner) as conn:
        second, last = list_points(conn, drawn.map.id, [4, 1, 99], chars=8)
        assert (second.document, second.words, second.tags, second.excluded) == ("pump.md", "Warranty", ["Sales"], True)
        assert (last.place, last.start, last.leaf) == (4, 200, 0)
        assert read_target(conn, drawn.map.id, 1) == (drawn.pump, 200, 250)
        assert read_target(conn, drawn.map.id, 99) is None
    with drawn.database.as_user(bob) as conn:
        assert list_points(conn, drawn.map.id, [0, 1]) == []
        assert read_target(conn, drawn.map.id, 1) is None


def test_what_is_typed_on_narrows_what_was_found(drawn: Drawn) -> None:
    steps = {"p": [0, 1], "pu": [0, 1], "pump l": [0], "pump x": [], "pump": [0, 1], "s": [0, 1, 3, 4], "see": [4]}
    for typed, places in steps.items():
        found = drawn.read("text", text=typed).values
        assert [place for place, value in enumerate(found) if value == 1] == places, typed


def test_what_was_found_is_found_anew_once_the_map_changes(drawn: Drawn) -> None:
    assert drawn.read("text", text="pump").values[1] == 1
    with drawn.database.as_owner() as conn:
        conn.execute("delete from public.chunks where id = %s", [drawn.pump_chunks[1]])
        conn.execute("update public.maps set version = version + 1")
    assert drawn.read("text", text="pump").values[1] == 255


def test_what_one_found_is_nothing_for_a_stranger(drawn: Drawn, bob: UUID) -> None:
    drawn.read("text", text="pump")
    with drawn.database.as_user(bob) as conn, pytest.raises(NotFound):
        read_channel(conn, drawn.map.id, "text", {"text": "pump"})


def test_within_a_selection_alone(drawn: Drawn) -> None:
    chosen = Selection.of_documents([drawn.lake]).to_text()
    assert list(drawn.read("text", sel=chosen).values) == [0, 0, 0, 1, 1]
    assert list(drawn.read("text", text="ducks", sel=chosen).values) == [0, 0, 0, 1, 0]
    assert list(drawn.read("text", text="pump", sel=chosen).values) == [0] * 5
