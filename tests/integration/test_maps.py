"""Maps: made in a process of its own, watched, cancelled, begun anew after a kill, kept in step with their chunks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from rag.corpus.collections import create_collection
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.mapping.map_job import make_map
from rag.mapping.mapmaker import MapMaker
from rag.mapping.maps import (
    EXTENT,
    MapSettings,
    cancel_map,
    delete_map,
    latest_map,
    list_maps,
    read_map,
    request_map,
    unfinished_map,
)
from rag.mapping.placing import place_vectors
from rag.settings import Settings
from rag.store.database import Database
from rag.work.leases import LeaseLost
from rag.work.mapping import KINDS
from tests.conftest import temporary_home
from tests.integration.mapped import DIMENSIONS, TOPICS, Mapped, maker_in, topic_spread
from tests.integration.searchable import embed_chunks
from tests.integration.workshop import Workshop, wait_for


@pytest.fixture(scope="module")
def maker() -> Iterator[MapMaker]:
    """One process for all maps here: what it compiled stays."""
    with temporary_home() as home, maker_in(home) as made:
        yield made


@pytest.fixture
def mapped(database: Database, alice: UUID, maker: MapMaker) -> Mapped:
    return Mapped(database, alice, maker)


def test_a_map_is_made_and_what_belongs_together_lies_together(mapped: Mapped) -> None:
    ids = mapped.add(15, documents=8)
    made = mapped.make()
    assert (made.state, made.phase, made.points, made.reason) == ("done", None, 120, None)
    assert made.drawn
    assert not made.staleness
    assert made.trustworthiness is not None
    assert made.trustworthiness > 0.85
    assert made.timings["exact_neighbours"]
    assert made.timings["trust_rows"] == 120
    assert {"reading", "neighbours", "layout", "saving", "clusters", "measuring", "first_picture"} <= set(made.timings)
    points = mapped.points(made.id)
    assert [point[0] for point in points] == list(range(120))
    assert sorted(point[1] for point in points) == ids
    xy = np.array([point[2:4] for point in points], float)
    assert xy.min() == 0
    assert xy.max() == EXTENT
    topics = np.array([(ids.index(point[1]) // 15) % TOPICS for point in points])
    assert topic_spread(xy, topics) < 0.3
    assert not any(point[5] for point in points)


def test_the_same_vectors_make_the_same_map(mapped: Mapped) -> None:
    mapped.add(10, documents=8)
    first, second, other = mapped.make(), mapped.make(), mapped.make(min_dist=0.5)
    assert mapped.points(first.id) == mapped.points(second.id)
    assert mapped.points(other.id) != mapped.points(first.id)
    assert other.settings == MapSettings(15, 0.5)
    with mapped.database.as_user(mapped.user) as conn:
        assert [one.id for one in list_maps(conn, mapped.collection)] == [other.id, second.id, first.id]
        latest = latest_map(conn, mapped.collection)
    assert latest is not None
    assert latest.id == other.id


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12])
def test_few_chunks_are_a_map_too(mapped: Mapped, count: int) -> None:
    mapped.add(count)
    made = mapped.make()
    points = mapped.points(made.id)
    assert (made.state, made.points, made.trustworthiness) == ("done", count, None)
    assert len({point[2:4] for point in points}) == count


def test_chunks_of_the_same_vector_are_points_too(mapped: Mapped) -> None:
    mapped.add(40, vectors=np.tile(mapped.topics[:1], (40, 1)))
    made = mapped.make()
    assert (made.state, len(mapped.points(made.id))) == ("done", 40)
    mapped.add(30, vectors=np.zeros((30, DIMENSIONS)) + np.eye(1, DIMENSIONS, 3))
    mapped.add(20)
    assert mapped.make().state == "done"


def test_nothing_to_draw_is_said_at_once_or_later(mapped: Mapped) -> None:
    with pytest.raises(InvalidInput, match="nothing to draw"), mapped.database.as_user(mapped.user) as conn:
        request_map(conn, mapped.collection)
    mapped.add(3)
    number = mapped.request()
    mapped.rows("delete from public.documents returning id")
    make_map(mapped.errand(), number)
    assert mapped.rows("select state from public.maps where id = %s", number) == [("failed",)]
    assert "nothing to draw" in str(mapped.read(number).reason)


@pytest.mark.parametrize(("neighbours", "min_dist"), [(1, 0.1), (201, 0.1), (15, -0.1), (15, 1.0)])
def test_settings_out_of_range_are_refused(mapped: Mapped, neighbours: int, min_dist: float) -> None:
    mapped.add(3)
    with pytest.raises(InvalidInput, match="2 to 200"), mapped.database.as_user(mapped.user) as conn:
        request_map(conn, mapped.collection, MapSettings(neighbours, min_dist))


def test_one_map_of_an_index_at_a_time(mapped: Mapped) -> None:
    mapped.add(3)
    number = mapped.request()
    with pytest.raises(InvalidInput, match="being made"), mapped.database.as_user(mapped.user) as conn:
        request_map(conn, mapped.collection)
    with mapped.database.as_user(mapped.user) as conn:
        waiting = unfinished_map(conn, mapped.collection)
        assert waiting is not None
        assert (waiting.id, waiting.drawn) == (number, False)
        assert cancel_map(conn, number)
        assert not cancel_map(conn, number)
        assert unfinished_map(conn, mapped.collection) is None
    make_map(mapped.errand(), number)
    assert mapped.read(number).state == "cancelled"
    mapped.request()


class Watching:
    """Says at every look how far the map is, and does something when a phase is reached."""

    def __init__(self, mapped: Mapped, number: int, phase: str, act: Any) -> None:
        self.mapped, self.number, self.phase, self.act = mapped, number, phase, act
        self.seen: list[str] = []

    def __call__(self) -> bool:
        phase = str(self.mapped.read(self.number).phase)
        if phase not in self.seen:
            self.seen.append(phase)
        if phase == self.phase:
            self.phase = ""
            return self.act() is not False
        return True


def test_a_map_is_seen_before_it_is_finished(mapped: Mapped) -> None:
    mapped.add(20, documents=8)
    number = mapped.request()
    drawn: list[Any] = []
    watching = Watching(mapped, number, "clusters", lambda: drawn.append(mapped.read(number)))
    make_map(mapped.errand(watching), number, noted_every_s=0)
    assert watching.seen[:2] == ["reading", "neighbours"]
    assert watching.seen.index("layout") < watching.seen.index("clusters")
    assert (drawn[0].state, drawn[0].drawn, drawn[0].points) == ("running", True, 160)
    assert mapped.read(number).version > drawn[0].version


@pytest.mark.parametrize("phase", ["neighbours", "layout", "clusters"])
def test_cancelling_ends_it_and_leaves_no_points(mapped: Mapped, phase: str) -> None:
    mapped.add(20, documents=8)
    number = mapped.request()

    def cancel() -> None:
        with mapped.database.as_user(mapped.user) as conn:
            assert cancel_map(conn, number)

    make_map(mapped.errand(Watching(mapped, number, phase, cancel)), number, noted_every_s=0)
    assert (mapped.read(number).state, mapped.points(number)) == ("cancelled", [])
    assert mapped.maker is not None
    assert mapped.maker.pid is None, "what computed it goes on"


def test_a_lost_lease_ends_it_and_it_is_begun_anew(mapped: Mapped) -> None:
    mapped.add(20, documents=8)
    number = mapped.request()
    with pytest.raises(LeaseLost):
        make_map(mapped.errand(Watching(mapped, number, "clusters", lambda: False)), number, noted_every_s=0)
    assert mapped.read(number).state == "running"
    make_map(mapped.errand(), number)
    assert (mapped.read(number).state, len(mapped.points(number))) == ("done", 160)


def test_a_killed_child_is_said_in_words(mapped: Mapped) -> None:
    mapped.add(20, documents=8)
    number = mapped.request()

    def kill() -> None:
        assert mapped.maker is not None
        assert mapped.maker.pid is not None
        os.kill(mapped.maker.pid, signal.SIGKILL)

    make_map(mapped.errand(Watching(mapped, number, "neighbours", kill)), number, noted_every_s=0)
    failed = mapped.read(number)
    assert (failed.state, mapped.points(number)) == ("failed", [])
    assert "memory" in str(failed.reason)
    assert mapped.make().state == "done"


def test_deleted_chunks_vanish_and_the_map_says_so(mapped: Mapped) -> None:
    mapped.add(10, documents=4)
    made = mapped.make()
    mapped.rows("delete from public.documents where id = %s returning id", mapped.documents[1])
    after = mapped.read(made.id)
    assert (after.staleness.gone, after.staleness.new, after.points) == (10, 0, 40)
    assert after.version == made.version + 1
    assert len(mapped.points(made.id)) == 30


def test_new_chunks_are_placed_among_their_neighbours(mapped: Mapped) -> None:
    mapped.add(15, documents=8)
    made = mapped.make()
    before = mapped.points(made.id)
    ids = mapped.add(5, documents=4)
    assert mapped.read(made.id).staleness.new == 20
    placed = mapped.place(made.id)
    assert (placed.staleness.new, placed.staleness.placed, placed.points) == (0, 20, 140)
    assert placed.version == made.version + 1
    points = mapped.points(made.id)
    assert points[:120] == before
    assert [point[0] for point in points[120:]] == list(range(120, 140))
    assert sorted(point[1] for point in points[120:]) == ids
    assert all(point[5] for point in points[120:])
    old = np.array([point[2:4] for point in before], float)
    topics = np.array([(mapped.documents.index(document) % TOPICS) for _, document in documents_of(mapped, made.id)])
    for point, topic in zip(points[120:], topics[120:], strict=True):
        nearest = np.linalg.norm(old - np.array(point[2:4]), axis=1).argmin()
        assert topics[nearest] == topic
    assert mapped.place(made.id).version == placed.version, "nothing was left to place"


def documents_of(mapped: Mapped, map_id: int) -> list[tuple[Any, ...]]:
    return mapped.rows("select place, document_id from public.map_points where map_id = %s order by place", map_id)


def test_upkeep_asks_for_placing_only_where_there_is_something_to_place(mapped: Mapped) -> None:
    mapped.add(10, documents=2)
    older, made = mapped.make(), mapped.make()
    mapped.rows("select pgmq.purge_queue('map')")

    def asked() -> list[Any]:
        with mapped.database.as_worker() as conn:
            conn.execute("select corpuscope.send_placing()")
        return [row[0] for row in mapped.rows("select message from pgmq.q_map order by msg_id")]

    assert asked() == []
    mapped.add(2)
    assert asked() == [{"place": made.id}]
    assert asked() == [{"place": made.id}], "it is asked for already"
    mapped.rows("select pgmq.purge_queue('map')")
    mapped.place(made.id)
    assert asked() == []
    assert mapped.read(older.id).staleness.new == 2
    mapped.rows("delete from public.map_points where map_id = %s returning place", made.id)
    assert mapped.place(made.id).points == 22
    assert asked() == [], "it can't be placed on nothing, and more of the same changes nothing"


def test_a_chunk_with_another_text_is_placed_anew(mapped: Mapped) -> None:
    ids = mapped.add(15, documents=4)
    made = mapped.make()
    mapped.rows("update public.chunks set text = 'of another topic' where id = %s returning id", ids[0])
    embed_chunks(mapped.database, ids[:1], mapped.vectors(1, 1).tolist())
    assert ids[0] not in [point[1] for point in mapped.points(made.id)]
    placed = mapped.place(made.id)
    (point,) = [point for point in mapped.points(made.id) if point[1] == ids[0]]
    assert (point[0], placed.points, placed.staleness.gone) == (60, 61, 1)
    second = [other for other in mapped.points(made.id) if other[1] in ids[15:30]]
    distances = [np.hypot(point[2] - other[2], point[3] - other[3]) for other in second]
    assert min(distances) < EXTENT / 20


def test_exclusions_leave_points_where_they_are(mapped: Mapped) -> None:
    mapped.add(10, documents=4)
    made = mapped.make()
    before = mapped.points(made.id)
    with mapped.database.as_user(mapped.user) as conn:
        conn.execute(
            "insert into span_marks (document_id, collection_id, start_char, end_char, kind)"
            " values (%s, %s, 0, 5000, 'exclusion')",
            [mapped.documents[0], mapped.collection],
        )
    assert mapped.rows("select count(*) from public.chunks where excluded") == [(10,)]
    assert mapped.points(made.id) == before


def test_a_vector_has_a_place_without_a_point(mapped: Mapped) -> None:
    mapped.add(15, documents=8)
    made = mapped.make()
    topics = np.array([mapped.documents.index(document) % TOPICS for _, document in documents_of(mapped, made.id)])
    xy = np.array([point[2:4] for point in mapped.points(made.id)], float)
    with mapped.database.as_user(mapped.user) as conn:
        found = place_vectors(conn, made.id, mapped.topics.astype(np.float32))
    assert found.shape == (TOPICS, 2)
    for topic, place in enumerate(found):
        assert topics[np.linalg.norm(xy - place, axis=1).argmin()] == topic
    with pytest.raises(InvalidInput, match="dimensions"), mapped.database.as_user(mapped.user) as conn:
        place_vectors(conn, made.id, np.ones((1, 3), np.float32))


def test_a_question_finds_its_place_though_newer_chunks_are_nearer(mapped: Mapped) -> None:
    mapped.add(15, documents=8)
    made = mapped.make()
    mapped.add(200, vectors=mapped.vectors(0, 200, noise=0.001))
    with mapped.database.as_user(mapped.user) as conn:
        found = place_vectors(conn, made.id, mapped.topics[:1].astype(np.float32))
    assert np.isfinite(found).all()


def test_a_stranger_sees_nothing_and_does_nothing(mapped: Mapped, bob: UUID) -> None:
    mapped.add(10, documents=4)
    made = mapped.make()
    with mapped.database.as_user(bob) as conn:
        assert list_maps(conn, mapped.collection) == []
        assert latest_map(conn, mapped.collection) is None
        assert conn.execute("select count(*) from map_points").fetchone() == (0,)
        assert conn.execute("select * from corpuscope.map_counts(%s)", [made.id]).fetchall() == [(None, None, None)]
        assert not cancel_map(conn, made.id)
        for act in (read_map, delete_map):
            with pytest.raises(NotFound):
                act(conn, made.id)
    for attempt in (
        lambda conn: place_vectors(conn, made.id, np.ones((1, DIMENSIONS), np.float32)),
        lambda conn: request_map(conn, mapped.collection),
    ):
        with pytest.raises((NotFound, NotAllowed)), mapped.database.as_user(bob) as conn:
            attempt(conn)
    assert mapped.read(made.id).version == made.version
    assert len(mapped.points(made.id)) == 40


def test_viewers_look_and_editors_delete(mapped: Mapped, bob: UUID) -> None:
    mapped.add(10)
    made = mapped.make()
    mapped.rows(
        "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer') returning role",
        mapped.collection,
        bob,
    )
    with mapped.database.as_user(bob) as conn:
        assert read_map(conn, made.id).points == 10
        with pytest.raises(NotAllowed):
            delete_map(conn, made.id)
    with pytest.raises(NotAllowed), mapped.database.as_user(bob) as conn:
        request_map(conn, mapped.collection)
    with mapped.database.as_user(mapped.user) as conn:
        delete_map(conn, made.id)
        assert list_maps(conn, mapped.collection) == []
    assert mapped.rows("select count(*) from public.map_points") == [(0,)]


def test_a_map_is_of_an_index_of_the_collection(mapped: Mapped) -> None:
    mapped.add(3)
    with mapped.database.as_user(mapped.user) as conn:
        other = create_collection(conn, "Other")
    with pytest.raises(NotFound), mapped.database.as_user(mapped.user) as conn:
        request_map(conn, other, index_id=mapped.index)


def test_a_dropped_index_takes_its_maps_along(mapped: Mapped) -> None:
    mapped.add(5)
    mapped.make()
    mapped.rows("update public.indexes set state = 'retired' where id = %s returning id", mapped.index)
    assert mapped.rows("select count(*) from public.maps") == [(0,)]


def test_a_job_that_is_given_up_on_says_so_in_the_row(mapped: Mapped) -> None:
    mapped.add(3)
    number = mapped.request()
    with mapped.database.as_worker() as conn:
        KINDS["map"].give_up(conn, number, "It was too much.", "Try less.")
    failed = mapped.read(number)
    assert (failed.state, failed.reason, failed.hint) == ("failed", "It was too much.", "Try less.")


def test_lost_messages_are_made_again(mapped: Mapped) -> None:
    mapped.add(3)
    number = mapped.request()
    mapped.rows("select pgmq.purge_queue('map')")
    with mapped.database.as_worker() as conn:
        assert conn.execute("select corpuscope.requeue_maps()").fetchone() == (0,)
        assert conn.execute("select corpuscope.requeue_maps('0 s')").fetchone() == (1,)
    assert mapped.rows("select message from pgmq.q_map") == [({"map": number},)]


def test_making_it_holds_no_transaction(mapped: Mapped) -> None:
    mapped.add(20, documents=8)
    number = mapped.request()
    longest: list[float] = []

    def look() -> bool:
        longest.extend(
            row[0]
            for row in mapped.rows(
                "select extract(epoch from clock_timestamp() - xact_start)::float8 from pg_stat_activity"
                " where datname = current_database() and state like 'idle in transaction%%'"
            )
        )
        return True

    make_map(mapped.errand(look), number)
    assert longest == []


def test_a_worker_makes_it(database: Database, alice: UUID) -> None:
    """The whole way: queue, thread, process, rows; and a stopped worker leaves no process."""
    mapped = Mapped(database, alice)
    mapped.add(15, documents=8)
    number = mapped.request()
    with temporary_home() as home:
        workshop = Workshop(database, Settings(_env_file=None, corpuscope_home=home), alice)
        with workshop.working(queues=("map",)):
            wait_for(lambda: mapped.read(number).state == "done")
    assert len(mapped.points(number)) == 120
    assert mapped.rows("select count(*) from pgmq.q_map") == [(0,)]
