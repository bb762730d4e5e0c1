"""A project's tokens: whose signature counts, how they are kept, renewed, and given back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from rag.auth import sessions
from rag.auth.project_door import ProjectDoor
from rag.auth.project_sessions import ENDED_THERE, OUTAGE, SEALED_ELSEWHERE, UNREACHABLE
from rag.auth.sealing import Seal
from rag.auth.sessions import Session
from rag.auth.sign_in_flows import Flow, begin_flow, find_flow, take_flow
from rag.auth.supabase_auth import AuthProject, ProjectTokens, ProjectUser
from rag.errors import SignInBlocked, SignInRefused, SignInUnavailable
from rag.store.database import Database
from tests.integration.door import audit
from tests.supabase.auth_stand_in import HERE, World, door_of, proof_of, somebody

DOWN = SignInUnavailable("The Supabase project's Auth can't be reached.")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def door(database: Database, world: World) -> ProjectDoor:
    return door_of(database, world, public_url="")


@pytest.fixture
def ada() -> ProjectUser:
    return somebody("ada@example.org")


@pytest.fixture
def session(door: ProjectDoor, ada: ProjectUser) -> Session:
    return door.enter(proof_of(door, ada), HERE).session


def found(door: ProjectDoor, session: Session) -> Session | None:
    with door.database.as_accounts() as conn:
        return sessions.find_session(conn, session.id, idle=timedelta(hours=1))


def visit(door: ProjectDoor, session: Session) -> Session | None:
    """What a page's run does."""
    return door.sessions.keep_fresh(found(door, session))


def let_pass(door: ProjectDoor, session: Session, time: timedelta) -> None:
    """As if the tokens were so much older; a lease of somebody else's is left alone."""
    tokens = door.sessions.tokens_of(session.id)
    with door.database.as_accounts() as conn:
        if tokens is not None:
            door.sessions.keep(conn, session.id, replace(tokens, expires_at=tokens.expires_at - time))
        conn.execute(
            "update corpuscope.project_sessions set renew_at = renew_at - %s where session_id = %s", [time, session.id]
        )


def why(door: ProjectDoor, session: Session) -> str | None:
    with door.database.as_accounts() as conn:
        return sessions.end_reason(conn, session.id)


def test_a_token_is_renewed_near_its_end_and_not_before(door: ProjectDoor, session: Session) -> None:
    first = door.sessions.tokens_of(session.id)
    assert first is not None
    assert visit(door, session) is not None
    assert door.sessions.tokens_of(session.id) == first
    let_pass(door, session, timedelta(minutes=56))
    assert visit(door, session) is not None
    second = door.sessions.tokens_of(session.id)
    assert second is not None
    assert second.refresh != first.refresh
    assert visit(door, session) is not None
    assert door.sessions.tokens_of(session.id) == second


def test_a_night_later_two_tabs_renew_once_and_both_go_on(door: ProjectDoor, session: Session, world: World) -> None:
    let_pass(door, session, timedelta(hours=9))
    start = threading.Barrier(8)

    def wake(_: int) -> bool:
        start.wait()
        return visit(door, session) is not None

    with ThreadPoolExecutor(8) as tabs:
        assert list(tabs.map(wake, range(8))) == [True] * 8
    assert len(world.spent) == 1


def test_who_died_while_renewing_is_followed_by_the_next(door: ProjectDoor, session: Session, world: World) -> None:
    let_pass(door, session, timedelta(minutes=56))
    mine, _ = door.sessions._lease(session.id)
    assert mine
    assert visit(door, session) is not None, "the token still holds"
    assert not world.spent
    with door.database.as_accounts() as conn:
        conn.execute("update corpuscope.project_sessions set renewing_until = now()")
    assert visit(door, session) is not None
    assert len(world.spent) == 1


def test_a_session_that_is_over_there_is_over_here(door: ProjectDoor, session: Session, world: World) -> None:
    tokens = door.sessions.tokens_of(session.id)
    assert tokens is not None
    world.spent.add(tokens.refresh)
    let_pass(door, session, timedelta(minutes=56))
    assert visit(door, session) is None
    assert found(door, session) is None
    assert why(door, session) == ENDED_THERE
    assert door.sessions.tokens_of(session.id) is None, "nothing is kept of it"


@pytest.mark.parametrize("problem", [DOWN, SignInBlocked(retry_after=60)])
def test_an_outage_ends_nothing_for_an_hour(door: ProjectDoor, session: Session, world: World, problem: Any) -> None:
    world.problem = problem
    let_pass(door, session, timedelta(hours=1, minutes=30))
    assert visit(door, session) is not None
    world.problem = None
    with door.database.as_accounts() as conn:
        conn.execute("update corpuscope.project_sessions set renewing_until = null")
    assert visit(door, session) is not None
    assert len(world.spent) == 1, "renewed as soon as it could be"
    world.problem = problem
    let_pass(door, session, timedelta(hours=1) + OUTAGE + timedelta(minutes=1))
    assert visit(door, session) is None
    assert why(door, session) == UNREACHABLE


def test_renewed_as_somebody_else_ends_it(door: ProjectDoor, session: Session, world: World, ada: ProjectUser) -> None:
    world.users[ada.id] = somebody("eve@example.org")
    let_pass(door, session, timedelta(minutes=56))
    assert visit(door, session) is None
    assert why(door, session) == ENDED_THERE


def test_what_changed_there_is_so_here_after_the_next_renewal(
    door: ProjectDoor, session: Session, world: World, ada: ProjectUser
) -> None:
    ben = door.enter(proof_of(door, somebody("ben@example.org", administers=True)), HERE).session
    world.users[ada.id] = replace(ada, email="new@example.org", administers=False)
    let_pass(door, session, timedelta(minutes=56))
    renewed = visit(door, session)
    assert renewed is not None
    assert (renewed.identity.email, renewed.identity.is_administrator) == ("new@example.org", False)
    assert visit(door, ben) is not None


def test_signing_out_gives_the_tokens_back(door: ProjectDoor, session: Session, world: World) -> None:
    tokens = door.sessions.tokens_of(session.id)
    assert tokens is not None
    door.sign_out(session)
    assert world.signed_out == [(tokens.access, "local")]
    assert why(door, session) == sessions.SIGNED_OUT


def test_signing_out_everywhere_and_after_the_token_ended(
    door: ProjectDoor, session: Session, world: World, ada: ProjectUser
) -> None:
    other = door.enter(proof_of(door, ada), HERE).session
    let_pass(door, session, timedelta(hours=2))
    door.sign_out(session, everywhere=True)
    assert [scope for _, scope in world.signed_out] == ["global"]
    assert found(door, other) is None
    assert len(world.spent) == 1, "an ended token can't end a session: it was renewed for that"


def test_signing_out_works_while_the_project_does_not(door: ProjectDoor, session: Session, world: World) -> None:
    world.problem = DOWN
    door.sign_out(session)
    assert found(door, session) is None
    assert door.sessions.tokens_of(session.id) is None


def test_with_another_key_the_tokens_are_gone_and_the_session_ends(
    door: ProjectDoor, session: Session, world: World
) -> None:
    other = ProjectDoor(door.database, door.settings, bytes(32), door.project)
    assert other.sessions.tokens_of(session.id) is None
    let_pass(door, session, timedelta(minutes=56))
    assert visit(other, session) is None
    assert why(door, session) == SEALED_ELSEWHERE


def test_a_row_moved_to_another_session_does_not_open(door: ProjectDoor, session: Session, ada: ProjectUser) -> None:
    ben = door.enter(proof_of(door, somebody("ben@example.org", administers=True)), HERE).session
    with door.database.as_accounts() as conn:
        conn.execute(
            "update corpuscope.project_sessions set tokens = (select tokens from corpuscope.project_sessions"
            " where session_id = %s) where session_id = %s",
            [session.id, ben.id],
        )
    assert door.sessions.tokens_of(ben.id) is None


def test_a_changed_password_keeps_this_session_and_ends_the_others(
    door: ProjectDoor, session: Session, world: World, ada: ProjectUser
) -> None:
    world.passwords["ada@example.org"] = "correct horse battery", ada.id
    other = door.enter(proof_of(door, ada), HERE).session
    with pytest.raises(SignInRefused, match="present password is wrong"):
        door.change_password(session.identity, "wrong horse battery", "nine green bottles")
    door.change_password(session.identity, "correct horse battery", "nine green bottles")
    assert world.passwords["ada@example.org"][0] == "nine green bottles"
    assert found(door, other) is None
    let_pass(door, session, timedelta(minutes=56))
    assert visit(door, session) is not None
    assert [scope for _, scope in world.signed_out] == ["others"]


def test_wrong_passwords_are_counted_here_too(door: ProjectDoor, session: Session) -> None:
    for _ in range(10):
        with pytest.raises(SignInRefused):
            door.sign_in("ada@example.org", "wrong", HERE)
    with pytest.raises(SignInBlocked):
        door.sign_in("ada@example.org", "wrong", HERE)
    said = [action for action, subject in audit(door.database) if subject == "ada@example.org"]
    assert said[-12:] == ["signed in", *["sign-in failed"] * 10, "locked out"]


def test_a_flow_is_taken_once_and_its_verifier_is_sealed(door: ProjectDoor) -> None:
    flow = Flow("provider", "/search", verifier="a-verifier-of-pkce")
    with door.database.as_accounts() as conn:
        token = begin_flow(conn, door.flows, flow)
        (state,) = conn.execute("select state from corpuscope.sign_in_flows").fetchone() or (b"",)
        assert b"a-verifier" not in bytes(state)
        assert find_flow(conn, door.flows, token) == flow
        assert find_flow(conn, Seal(bytes(32), purpose="sign-in flows"), token) is None
        assert take_flow(conn, door.flows, "another") is None
        assert take_flow(conn, door.flows, token) == flow
        assert take_flow(conn, door.flows, token) is None
        late = begin_flow(conn, door.flows, flow)
        conn.execute("update corpuscope.sign_in_flows set expires_at = now()")
        assert find_flow(conn, door.flows, late) is None
        assert take_flow(conn, door.flows, late) is None


def test_a_project_that_is_not_there_is_said_so() -> None:
    nowhere = AuthProject("http://127.0.0.1:1", "sb_publishable_x")
    for call in (
        lambda: nowhere.sign_in("a@example.org", "x"),
        lambda: nowhere.renew(ProjectTokens("a", "b", datetime.now(UTC)), lambda new: None),
        nowhere.confirms_addresses,
    ):
        with pytest.raises(SignInUnavailable, match="can't be reached"):
            call()


def test_nothing_secret_is_shown_where_a_record_is_printed(door: ProjectDoor, session: Session) -> None:
    tokens = door.sessions.tokens_of(session.id)
    assert "refresh 1" not in repr(tokens)
    assert "secret" not in repr(Flow("provider", verifier="secret", access="secret", refresh="secret"))
    assert isinstance(session.id, UUID)
