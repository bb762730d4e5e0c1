"""What a selection on a map holds: by polygon, cluster, document, chunk and place; and for whom."""

from __future__ import annotations

import math
from uuid import UUID

import pytest

from rag.curation.selecting import Selection, resolve, selected_places, summarise
from rag.mapping.maps import CorpusMap
from rag.store.database import Database
from tests.integration.handmade_map import draw_map
from tests.integration.searchable import add_document


@pytest.fixture
def drawn(database: Database, alice: UUID, corpus: UUID) -> CorpusMap:
    """Forty points on a grid of 32 columns, a thousand units apart, of two documents."""
    for name, word in (("a.txt", "harbour"), ("b.txt", "orchard")):
        add_document(
            database, corpus, [f"{word} {n}" for n in range(20)], name=name, vectors=[[1, 2, 3, n] for n in range(20)]
        )
    return draw_map(database, corpus, alice)


def places(database: Database, user: UUID, drawn: CorpusMap, selection: Selection) -> list[int]:
    with database.as_user(user) as conn:
        return sorted(selected_places(conn, drawn.id, selection))


def test_a_polygon_holds_what_lies_inside(database: Database, alice: UUID, drawn: CorpusMap) -> None:
    box = Selection.of_polygon([(-500, -500), (2500, -500), (2500, 1500), (-500, 1500)])
    assert places(database, alice, drawn, box) == [0, 1, 2, 32, 33, 34]
    notched = Selection.of_polygon(
        [(-500, -500), (4500, -500), (4500, 500), (3500, 500), (2000, -400), (500, 500), (-500, 500)]
    )
    assert places(database, alice, drawn, notched) == [0, 1, 3, 4]


def test_twice_around_is_outside(database: Database, alice: UUID, drawn: CorpusMap) -> None:
    star = [(5000 + 5000 * math.sin(4 * math.pi * n / 5), 5000 * math.cos(4 * math.pi * n / 5)) for n in range(5)]
    assert 5 not in places(database, alice, drawn, Selection.of_polygon(star))


def test_the_other_ways_to_select(database: Database, alice: UUID, drawn: CorpusMap) -> None:
    with database.as_user(alice) as conn:
        spans = resolve(conn, drawn.id, Selection.of_places([0, 1, 39, 999]))
        assert [(span.start, span.end) for span in sorted(spans)] == [(100, 150), (200, 250), (2000, 2050)]
        document = spans[0].document_id
        assert len(resolve(conn, drawn.id, Selection.of_documents([document]))) == 20
        assert len(resolve(conn, drawn.id, Selection.of_chunks([spans[0].chunk_id, 10**9]))) == 1
    with database.as_owner() as conn:
        conn.execute(
            "insert into clusters (map_id, collection_id, cluster, parent, coarsest, finest, x, y, points)"
            " values (%(map)s, %(collection)s, 9, null, 1, 3, 0, 0, 0), (%(map)s, %(collection)s, 1, 9, 4, 5, 0, 0, 0),"
            " (%(map)s, %(collection)s, 2, 9, 4, 5, 0, 0, 0)",
            {"map": drawn.id, "collection": drawn.collection_id},
        )
    assert places(database, alice, drawn, Selection.of_clusters([1])) == list(range(1, 40, 4))
    assert len(places(database, alice, drawn, Selection.of_clusters([9]))) == 20


def test_a_summary_says_what_is_there(database: Database, alice: UUID, drawn: CorpusMap) -> None:
    with database.as_user(alice) as conn:
        found = summarise(conn, drawn.id, Selection.of_places(range(22)))
        assert (found.chunks, found.documents, found.excluded) == (22, 2, 0)
        assert sorted(found.titles, key=lambda one: -one[1]) == [("a.txt", 20), ("b.txt", 2)]
        assert len(found.samples) == 4
        first, second = Selection.of_places(range(20)), Selection.of_places(range(20, 40))
        assert summarise(conn, drawn.id, first, second).words[0][0] == "harbour"
        assert summarise(conn, drawn.id, Selection.of_places([999])).chunks == 0


def test_a_stranger_selects_nothing(database: Database, bob: UUID, drawn: CorpusMap) -> None:
    everything = Selection.of_places(range(40))
    with database.as_user(bob) as conn:
        assert resolve(conn, drawn.id, everything) == []
        assert selected_places(conn, drawn.id, everything) == []
        assert summarise(conn, drawn.id, everything).chunks == 0
