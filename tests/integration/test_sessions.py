"""Sessions: they stand, rest, expire, rotate and end, and a cookie that was copied ends them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from rag.auth import people, sessions
from rag.auth.secret_tokens import new_token
from rag.auth.sessions import Session
from rag.store.database import Database
from rag.work.upkeep import forget_old_accounts
from tests.integration.door import ANN, BEN, IDLE, audit, change, look, make_person


@pytest.fixture
def ben(database: Database) -> UUID:
    return make_person(database)


@pytest.fixture
def opened(database: Database, ben: UUID) -> tuple[str, Session]:
    """Ben's session, as old as you like: rotation is due."""
    token, session = open_for(database, ben)
    change(database, "update corpuscope.sessions set rotated_at = now() - interval '2 hours'")
    return token, session


def open_for(database: Database, person: UUID, lasts: timedelta = timedelta(days=1)) -> tuple[str, Session]:
    with database.as_accounts() as conn:
        return sessions.open_session(conn, person, "password", device="Firefox\x00\n", address="::1" * 50, lasts=lasts)


def rotate(database: Database, session: Session) -> str | None:
    with database.as_accounts() as conn:
        return sessions.rotate(conn, session.id)


def find(database: Database, session: Session, **options: bool) -> Session | None:
    with database.as_accounts() as conn:
        return sessions.find_session(conn, session.id, idle=IDLE, **options)


def reason(database: Database, session: Session) -> str | None:
    with database.as_accounts() as conn:
        return sessions.end_reason(conn, session.id)


def test_a_session_says_whose_it_is(database: Database, ben: UUID) -> None:
    token, session = open_for(database, ben)
    identity = session.identity
    assert (identity.user_id, identity.email, identity.session_id) == (ben, BEN, session.id)
    assert not identity.is_administrator
    assert not identity.is_guest
    assert identity.expires_at == session.expires_at
    assert look(database, token) == session == find(database, session)


def test_the_database_does_not_know_the_token(database: Database, ben: UUID) -> None:
    token, _ = open_for(database, ben)
    with database.as_owner() as conn:
        rows = conn.execute("select s::text, encode(token_hash, 'escape') from corpuscope.sessions s").fetchall()
    assert rows
    assert token not in str(rows)


@pytest.mark.parametrize("token", ["", "x", "\x00", "\ud800", "' or true --"])
def test_an_unknown_token_is_nobody(database: Database, ben: UUID, token: str) -> None:
    open_for(database, ben)
    assert look(database, token) is None
    assert look(database, new_token()) is None


@pytest.mark.parametrize(
    "event",
    [
        "update corpuscope.sessions set ended_at = now(), end_reason = 'x'",
        "update corpuscope.sessions set expires_at = now()",
        "update corpuscope.sessions set last_seen_at = now() - interval '61 minutes'",
        "update corpuscope.people set disabled_at = now() where email = 'ben@example.org'",
        "delete from auth.users where email = 'ben@example.org'",
    ],
)
def test_what_ends_a_session(database: Database, opened: tuple[str, Session], event: str) -> None:
    token, session = opened
    assert look(database, token)
    change(database, event)
    assert look(database, token) is None
    assert find(database, session) is None


def test_a_closed_account_stays_out_when_it_is_opened_again(database: Database, opened: tuple[str, Session]) -> None:
    token, session = opened
    change(database, "update corpuscope.people set disabled_at = now() where email = %s", BEN)
    change(database, "update corpuscope.people set disabled_at = null")
    assert look(database, token) is None
    assert reason(database, session) == "the account was closed"


def test_signing_out_ends_this_session_only_and_for_good(database: Database, ben: UUID) -> None:
    token, session = open_for(database, ben)
    other, _ = open_for(database, ben)
    with database.as_accounts() as conn:
        sessions.end(conn, session.id)
        sessions.end(conn, session.id, "again")
    assert look(database, token) is None
    assert look(database, other)
    assert reason(database, session) == "signed out"
    assert audit(database)[-1] == ("signed out", BEN)


def test_all_others_end(database: Database, ben: UUID) -> None:
    token, session = open_for(database, ben)
    other, _ = open_for(database, ben)
    with database.as_accounts() as conn:
        foreign = people.add_person(conn, ANN)
    hers, _ = open_for(database, foreign)
    with database.as_accounts() as conn:
        assert sessions.end_others(conn, ben, "why", keep=session.id) == 1
    assert (look(database, token) is None, look(database, other) is None, look(database, hers) is None) == (
        False,
        True,
        False,
    )


def test_signing_out_everywhere_is_written_down(database: Database, ben: UUID) -> None:
    tokens = [open_for(database, ben)[0] for _ in range(3)]
    with database.as_accounts() as conn:
        assert sessions.end_others(conn, ben, sessions.SIGNED_OUT_EVERYWHERE) == 3
    assert [look(database, token) for token in tokens] == [None] * 3
    assert audit(database)[-1] == ("signed out everywhere", BEN)


def test_another_way_of_signing_in_ends_what_began_by_the_first(database: Database, ben: UUID) -> None:
    with database.as_accounts() as conn:
        for kind in ("password", "oidc", "guest"):
            sessions.open_session(conn, ben, kind, device="", address="", lasts=timedelta(days=1))
        assert sessions.end_foreign(conn, "oidc") == 1
        kinds = conn.execute("select kind from corpuscope.sessions where ended_at is null order by 1").fetchall()
    assert kinds == [("guest",), ("oidc",)]


def test_a_visit_is_noted_once_a_minute_and_only_if_it_is_one(database: Database, opened: tuple[str, Session]) -> None:
    _, session = opened

    def seen() -> object:
        with database.as_owner() as conn:
            return conn.execute("select last_seen_at from corpuscope.sessions").fetchone()

    find(database, session)
    first = seen()
    find(database, session)
    assert seen() == first
    change(database, "update corpuscope.sessions set last_seen_at = now() - interval '2 minutes'")
    older = seen()
    find(database, session, touch=False)
    assert seen() == older
    find(database, session)
    assert seen() != older


def test_rotation_gives_a_new_token_and_the_old_one_a_moment(database: Database, opened: tuple[str, Session]) -> None:
    token, session = opened
    new = rotate(database, session)
    assert new
    assert new != token
    for given in (token, new, token):  # requests under way, then the first with the new one, then a straggler
        found = look(database, given)
        assert found
        assert found.id == session.id
        assert found.rotated_at > session.rotated_at


def test_a_copied_cookie_ends_the_session_for_both(database: Database, opened: tuple[str, Session]) -> None:
    token, session = opened
    new = rotate(database, session)
    assert new
    assert look(database, new)
    change(database, "update corpuscope.sessions set seen_at = now() - interval '61 seconds'")
    assert look(database, token) is None
    assert look(database, new) is None
    assert reason(database, session) == sessions.STOLEN
    assert audit(database)[-1] == ("session ended", BEN)


def test_a_thief_who_rotates_first_is_found_by_the_owner(database: Database, opened: tuple[str, Session]) -> None:
    token, session = opened
    thiefs = rotate(database, session)
    assert thiefs
    assert look(database, thiefs)
    change(database, "update corpuscope.sessions set seen_at = now() - interval '1 hour'")
    assert look(database, token) is None, "the owner comes with the old one"
    assert look(database, thiefs) is None


def test_an_answer_that_got_lost_signs_nobody_out(database: Database, opened: tuple[str, Session]) -> None:
    token, session = opened
    lost = rotate(database, session)
    assert lost
    change(database, "update corpuscope.sessions set rotated_at = now() - interval '2 hours'")
    assert look(database, token), "the browser never got the new one"
    new = rotate(database, session)
    assert new
    assert look(database, new)
    assert look(database, token), "for a moment"
    assert look(database, lost) is None, "nobody came with it, and now nobody can"
    change(database, "update corpuscope.sessions set seen_at = now() - interval '2 minutes'")
    assert look(database, token) is None
    assert reason(database, session) == sessions.STOLEN


def test_requests_side_by_side_rotate_once(database: Database, opened: tuple[str, Session]) -> None:
    token, session = opened
    with ThreadPoolExecutor(8) as pool:
        made = [new for new in pool.map(lambda _: rotate(database, session), range(8)) if new]
    assert len(made) == 1
    assert look(database, made[0])
    assert look(database, token)


@pytest.mark.parametrize("column", ["ended_at", "expires_at"])
def test_an_ended_session_does_not_rotate(database: Database, opened: tuple[str, Session], column: str) -> None:
    _, session = opened
    change(database, f"update corpuscope.sessions set {column} = now()")
    assert rotate(database, session) is None


def test_nothing_is_known_of_what_never_was(database: Database) -> None:
    with database.as_accounts() as conn:
        assert sessions.find_session(conn, uuid4(), idle=IDLE) is None
        assert sessions.end_reason(conn, uuid4()) is None
        sessions.end(conn, uuid4())
    assert audit(database) == [("account made", "local@corpuscope")]


def test_old_rows_go_and_standing_sessions_stay(database: Database, ben: UUID) -> None:
    standing, _ = open_for(database, ben, timedelta(days=300))
    _, old = open_for(database, ben)
    change(database, "update corpuscope.sessions set expires_at = now() - interval '31 days' where id = %s", old.id)
    with database.as_accounts() as conn:
        gone, here = (people.add_person(conn, None, as_guest=True) for _ in range(2))
    change(database, "update corpuscope.people set last_seen_at = now() - interval '8 days' where user_id = %s", gone)
    with database.as_worker() as conn:
        assert not forget_old_accounts(conn), "there is never more to do at once"
    with database.as_accounts() as conn:
        assert sessions.end_reason(conn, old.id) is None
        assert people.find_person(conn, gone) is None
        assert people.find_person(conn, here)
    assert look(database, standing)
