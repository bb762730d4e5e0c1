"""A health check: what the worker finds, what people see of it afterwards, and what a stranger doesn't."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pytest

from rag.corpus.marks import exclude_span, remove_mark
from rag.errors import CorpuscopeError, NotAllowed, NotFound
from rag.health.duplicates import Duplicates, Group, Member, read_duplicates
from rag.health.health_checks import cancel_check, health_checks, read_check, read_drift
from rag.health.health_job import check_health
from rag.health.health_lists import (
    count_findings,
    list_lost,
    list_passages,
    list_repeats,
    read_passages,
    read_tags,
    repeated_spans,
)
from rag.health.kept_findings import keep, list_kept, take_back
from rag.store.database import Database
from rag.work.leases import LeaseLost
from rag.work.mapping import KINDS
from tests.integration.ailing import Ailing
from tests.integration.townsfolk import open_account

NEAR = ["story-03.txt", "exact.txt", "spaces.txt", "word.txt", "order.txt"]


@pytest.fixture
def ailing(database: Database, alice: UUID) -> Ailing:
    return Ailing(database, alice)


def duplicates(ailing: Ailing, check: int) -> Duplicates:
    with ailing.database.as_user(ailing.user) as conn:
        return read_duplicates(conn, check)


def names(ailing: Ailing, members: Iterable[Member | Any]) -> set[str]:
    with ailing.database.as_user(ailing.user) as conn:
        rows = conn.execute(
            "select name from public.documents where id = any (%s)", [[one.document_id for one in members]]
        ).fetchall()
    return {row[0] for row in rows}


def the_group(ailing: Ailing, check: int, threshold: float = 0.7) -> Group:
    [group] = [
        group for group in duplicates(ailing, check).groups(threshold) if "word.txt" in names(ailing, group.members)
    ]
    return group


def counts(ailing: Ailing, check: int) -> dict[str, int]:
    with ailing.database.as_user(ailing.user) as conn:
        return count_findings(conn, check)


def test_every_ailment_is_found(ailing: Ailing) -> None:
    check = ailing.check()
    assert check.state == "done", check.reason
    group = the_group(ailing, check.id)
    assert names(ailing, group.members) == set(NEAR)
    assert group.members[0].chunk_id == ailing.value(
        "select c.id from public.chunks c join public.documents d on d.id = c.document_id where d.name = 'story-03.txt'"
    )
    scores = {member.chunk_id: member.score for member in group.members}
    assert 0.7 < scores.pop(ailing.chunk("word.txt")) < 1.0
    assert set(scores.values()) == {1.0}
    with ailing.database.as_user(ailing.user) as conn:
        passages = {
            finding: {passage.document for passage in list_passages(conn, check.id, finding)}
            for finding in ("outlier", "short", "long", "language")
        }
        [footer] = list_repeats(conn, check.id)
        places = repeated_spans(conn, check.id, footer.number)
    assert passages["short"] == {"short.txt"}
    assert passages["long"] == {"long.txt"}
    assert passages["language"] == {"german.txt"}
    assert "far.txt" in passages["outlier"]
    assert (footer.documents, footer.times) == (4, 4)
    assert footer.text.startswith("Sheet ")
    assert names(ailing, places) == {f"report-{n}.txt" for n in range(4)}
    assert counts(ailing, check.id)["repeat"] == 1
    assert check.figures["passages"] == 36
    assert check.figures["main_language"] == "en"


def test_what_is_excluded_leaves_the_lists_at_once_and_comes_back(ailing: Ailing) -> None:
    check = ailing.check()
    with ailing.database.as_user(ailing.user) as conn:
        spans = [member for member in the_group(ailing, check.id).members if member.score == 1.0][1:]
        marks = [exclude_span(conn, one.document_id, one.start, one.end) for one in spans]
        marks.append(exclude_span(conn, ailing.ids["short.txt"], 0, 10))
    assert names(ailing, the_group(ailing, check.id).members) == {"story-03.txt", "word.txt"}
    assert counts(ailing, check.id)["short"] == 0
    with ailing.database.as_user(ailing.user) as conn:
        assert read_drift(conn, ailing.look(check.id)) is None
        for mark in marks:
            remove_mark(conn, mark)
    assert len(the_group(ailing, check.id).members) == 5
    assert counts(ailing, check.id)["short"] == 1


def test_excluded_boilerplate_is_none_any_more(ailing: Ailing) -> None:
    check = ailing.check()
    with ailing.database.as_user(ailing.user) as conn:
        [footer] = list_repeats(conn, check.id)
        for place in repeated_spans(conn, check.id, footer.number):
            exclude_span(conn, place.document_id, place.start, place.end)
        assert list_repeats(conn, check.id) == []
        assert repeated_spans(conn, check.id, footer.number) == []


def test_keep_all_is_remembered_beyond_the_check_until_it_is_taken_back(ailing: Ailing) -> None:
    first = ailing.check()
    with ailing.database.as_user(ailing.user) as conn:
        kept = keep(conn, ailing.collection, "duplicates", the_group(ailing, first.id).members)
        short = list_passages(conn, first.id, "short")
        keep(conn, ailing.collection, "short", short)
        [footer] = list_repeats(conn, first.id)
        keep(conn, ailing.collection, "repeat", repeated_spans(conn, first.id, footer.number))
    second = ailing.check()
    assert second.id != first.id
    assert duplicates(ailing, second.id).groups(0.7) == []
    assert (counts(ailing, second.id)["short"], counts(ailing, second.id)["repeat"]) == (0, 0)
    with ailing.database.as_user(ailing.user) as conn:
        assert [one.finding for one in list_kept(conn, ailing.collection)] == ["repeat", "short", "duplicates"]
        take_back(conn, kept)
        with pytest.raises(NotFound):
            take_back(conn, kept)
    assert len(the_group(ailing, second.id).members) == 5


def test_another_copy_brings_a_kept_group_back(ailing: Ailing) -> None:
    first = ailing.check()
    with ailing.database.as_user(ailing.user) as conn:
        keep(conn, ailing.collection, "duplicates", the_group(ailing, first.id).members)
        text = read_passages(conn, [ailing.chunk("exact.txt")])[ailing.chunk("exact.txt")].text
    ailing.ids["again.txt"] = ailing.add("again.txt", f"{text} ")
    with ailing.database.as_user(ailing.user) as conn:
        drift = read_drift(conn, ailing.look(first.id))
    assert drift is not None
    assert (drift.documents_then, drift.documents_now) == (36, 37)
    second = ailing.check()
    assert names(ailing, the_group(ailing, second.id).members) == {*NEAR, "again.txt"}


def test_documents_that_no_question_found(ailing: Ailing) -> None:
    assert ailing.check().figures["runs"] == 0
    found = ailing.ids["exact.txt"]
    near = ailing.ids["word.txt"]
    with ailing.database.as_owner() as conn:
        conn.execute(
            """
            with s as (insert into evaluation_sets (collection_id, name) values (%(c)s, 'S') returning id),
            q as (insert into questions (set_id, collection_id, text) select id, %(c)s, 'Q' from s returning id),
            r as (
                insert into evaluation_runs (set_id, collection_id, profile, model, total, state, started_at)
                select id, %(c)s, '{"k": 2, "threshold": 0.5}', 'm', 1, 'done', now() from s returning id
            )
            insert into evaluation_results (run_id, question_id, hits, latency_ms)
            select r.id, q.id, jsonb_build_array(
                jsonb_build_object('d', %(found)s::text, 'sim', 0.9), jsonb_build_object('d', 'x', 'sim', 0.6),
                jsonb_build_object('d', %(near)s::text, 'sim', 0.6)
            ), 1 from r, q
            """,
            {"c": ailing.collection, "found": found, "near": near},
        )
    ailing.add("late.txt", "This came after all runs, so nothing is said of it.")
    check = ailing.check()
    with ailing.database.as_user(ailing.user) as conn:
        lost = list_lost(conn, check.id)
        assert len(lost) == counts(ailing, check.id)["unretrieved"] == 35
        assert {one.document_id: one.best_rank for one in lost}[near] == 3
        assert {one.best_rank for one in lost} == {None, 3}
        assert found not in {one.document_id for one in lost}
        assert "late.txt" not in {one.document for one in lost}
        keep(conn, ailing.collection, "unretrieved", [Member(0, near, 0, 5)])
        assert near not in {one.document_id for one in list_lost(conn, check.id)}


def test_tags_of_a_group_are_read_once_each(ailing: Ailing) -> None:
    check = ailing.check()
    with ailing.database.as_user(ailing.user) as conn:
        members = the_group(ailing, check.id).members
        for one in members[:2]:
            conn.execute(
                "insert into span_marks (document_id, collection_id, start_char, end_char, kind, tag)"
                " values (%s, %s, %s, %s, 'tag', 'travel')",
                [one.document_id, ailing.collection, one.start, one.end],
            )
        assert read_tags(conn, members) == ["travel"]
        assert read_tags(conn, members[2:]) == []


def test_one_check_at_a_time_and_it_can_be_cancelled(ailing: Ailing) -> None:
    number = ailing.start()
    assert ailing.start() == number
    with ailing.database.as_user(ailing.user) as conn:
        assert cancel_check(conn, number)
        assert not cancel_check(conn, number)
    check_health(ailing.errand(), number)
    assert ailing.look(number).state == "cancelled"
    again = ailing.start()
    looks = 0

    def cancels() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            with ailing.database.as_user(ailing.user) as conn:
                cancel_check(conn, again)
        return True

    check_health(ailing.errand(cancels), again, noted_every_s=0)
    assert ailing.look(again).state == "cancelled"
    assert ailing.value("select count(*) from public.health_members where check_id = %s", again) == 0


def test_a_check_whose_worker_stopped_begins_anew(ailing: Ailing) -> None:
    number = ailing.start()
    with pytest.raises(LeaseLost):
        check_health(ailing.errand(lambda: False), number)
    assert ailing.look(number).state == "running"
    with ailing.database.as_owner() as conn:
        conn.execute("update health_checks set touched_at = now() - interval '5 minutes'")
        conn.execute("select pgmq.purge_queue('map')")
    assert ailing.value("select corpuscope.requeue_health_checks()") == 1
    message = ailing.value("select message from pgmq.q_map")
    assert message == {"health": number}
    check_health(ailing.errand(), number)
    assert ailing.look(number).state == "done"


def test_a_new_check_takes_the_place_of_the_old_one_once_it_is_done(ailing: Ailing) -> None:
    first, second = ailing.check(), ailing.start()
    with ailing.database.as_user(ailing.user) as conn:
        assert [one.id for one in health_checks(conn, ailing.collection)] == [second, first.id]
    check_health(ailing.errand(), second)
    with ailing.database.as_user(ailing.user) as conn:
        assert [one.id for one in health_checks(conn, ailing.collection)] == [second]


def test_giving_up_says_so_in_the_row(ailing: Ailing) -> None:
    number = ailing.start()
    with ailing.database.as_worker() as conn:
        KINDS["health"].give_up(conn, number, "It died.", "Try again.")
    assert (ailing.look(number).state, ailing.look(number).reason) == ("failed", "It died.")


def test_a_stranger_gets_no_count_and_no_text(ailing: Ailing, bob: UUID) -> None:
    check = ailing.check()
    members = the_group(ailing, check.id).members
    with ailing.database.as_user(ailing.user) as conn:
        kept = keep(conn, ailing.collection, "duplicates", members)
    attempts: list[Any] = []
    with ailing.database.as_user(bob) as conn:
        assert health_checks(conn, ailing.collection) == []
        assert set(count_findings(conn, check.id).values()) == {0}
        found = read_duplicates(conn, check.id)
        assert (found.members, list(found.pairs), found.kept) == ({}, [], {})
        assert list_passages(conn, check.id, "short") == []
        assert list_repeats(conn, check.id) == []
        assert list_lost(conn, check.id) == []
        assert repeated_spans(conn, check.id, 0) == []
        assert read_passages(conn, [member.chunk_id for member in members]) == {}
        assert list_kept(conn, ailing.collection) == []
        assert not cancel_check(conn, check.id)
        with pytest.raises(NotFound):
            read_check(conn, check.id)
    for attempt in (
        lambda conn: keep(conn, ailing.collection, "duplicates", members),
        lambda conn: take_back(conn, kept),
    ):
        with pytest.raises(CorpuscopeError), ailing.database.as_user(bob) as conn:
            attempts.append(attempt(conn))
    with pytest.raises(NotAllowed):
        ailing.start(bob)
    assert attempts == []


def test_a_viewer_looks_and_changes_nothing(ailing: Ailing) -> None:
    check = ailing.check()
    viewer = open_account(ailing.database, "vera@example.org")
    with ailing.database.as_owner() as conn:
        conn.execute(
            "insert into collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            [ailing.collection, viewer],
        )
    with ailing.database.as_user(viewer) as conn:
        assert count_findings(conn, check.id)["short"] == 1
        members = read_duplicates(conn, check.id).groups(0.7)[0].members
    with pytest.raises(NotAllowed), ailing.database.as_user(viewer) as conn:
        keep(conn, ailing.collection, "duplicates", members)
    with pytest.raises(NotAllowed):
        ailing.start(viewer)


def test_what_the_asker_may_not_see_any_more_is_not_read(ailing: Ailing) -> None:
    number = ailing.start()
    other = open_account(ailing.database, "mallory@example.org")
    with ailing.database.as_owner() as conn:
        conn.execute("update health_checks set created_by = %s where id = %s", [other, number])
    check_health(ailing.errand(), number)
    assert ailing.look(number).figures["passages"] == 0
    assert ailing.value("select count(*) from public.health_members where check_id = %s", number) == 0
