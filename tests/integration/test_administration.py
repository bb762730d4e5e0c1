"""What an administrator may do, and nobody else: people, invitations, sessions, limits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from rag.auth import administration as admin
from rag.auth.people import find_person
from rag.auth.secret_tokens import new_token
from rag.auth.sessions import Session, find_session, open_session
from rag.corpus.audit import describe, list_entries
from rag.corpus.collections import create_collection
from rag.corpus.sharing import list_people_of, open_invitations, share, share_by_link
from rag.errors import CorpuscopeError, InvalidInput, LimitReached, NotAllowed, NotFound
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.conftest import Store
from tests.integration.door import IDLE, hashed, make_first
from tests.integration.townsfolk import accept, open_account, run_as_owner

ALICES, BOBS = "alice@example.org", "bob@example.org"


@pytest.fixture
def town(database: Database, alice: UUID, bob: UUID) -> Database:
    """Ann (the first) and Alice are administrators; Bob is not."""
    make_first(database)
    open_account(database, ALICES, id=alice, administrator=True)
    open_account(database, BOBS, id=bob)
    return database


def begin(database: Database, person: UUID) -> Session:
    with database.as_accounts() as conn:
        return open_session(conn, person, "password", device="Firefox on Linux", address="", lasts=timedelta(1))[1]


def stands(database: Database, session: Session) -> bool:
    with database.as_accounts() as conn:
        return find_session(conn, session.id, idle=IDLE) is not None


def acts(database: Database, person: UUID) -> list[str]:
    with database.as_user(person) as conn:
        return [describe(entry) for entry in list_entries(conn)]


#: Every function that is an administrator's alone, called on somebody.
ADMINISTRATORS: dict[str, Callable[[psycopg.Connection[Any], UUID], object]] = {
    "list_people": lambda conn, _: admin.list_people(conn),
    "set_administrator": lambda conn, person: admin.set_administrator(conn, person, True),
    "set_account_open": lambda conn, person: admin.set_account_open(conn, person, True),
    "describe_removal": admin.describe_removal,
    "delete_person": admin.delete_person,
    "invite_person": lambda conn, _: admin.invite_person(conn, "dan@example.org"),
    "make_password_reset": admin.make_password_reset,
    "list_sessions": admin.list_sessions,
    "end_sessions": admin.end_sessions,
    "list_limits": lambda conn, _: admin.list_limits(conn),
    "set_limits": lambda conn, p: admin.set_limits(conn, "person", p, files=1, bytes=None, questions_per_day=None),
    "list_all_collections": lambda conn, _: admin.list_all_collections(conn),
    "note_list_export": lambda conn, _: admin.note_list_export(conn, "the list of activity"),
}


@pytest.mark.parametrize("name", sorted(ADMINISTRATORS))
def test_only_an_administrator_may(town: Database, alice: UUID, bob: UUID, name: str) -> None:
    somebody = open_account(town, "carol@example.org")
    run_as_owner(town, "update corpuscope.people set password_hash = 'x' where user_id = %s", somebody)
    guest = open_account(town, None)
    for other in (bob, guest, somebody if name not in ("list_sessions", "end_sessions") else bob):
        with pytest.raises(NotAllowed, match="Only administrators"), town.as_user(other) as conn:
            ADMINISTRATORS[name](conn, somebody)
    with town.as_user(alice) as conn:
        ADMINISTRATORS[name](conn, somebody)


@pytest.mark.parametrize("name", sorted(ADMINISTRATORS))
def test_an_administrator_whose_account_was_closed_may_not_either(
    town: Database, alice: UUID, bob: UUID, name: str
) -> None:
    with town.as_user(LOCAL_USER) as conn:
        admin.set_account_open(conn, alice, False)
    with pytest.raises(NotAllowed), town.as_user(alice) as conn:
        ADMINISTRATORS[name](conn, bob)


def test_people_are_listed_with_what_they_use(town: Database, alice: UUID, bob: UUID, store: Store) -> None:
    store("a.txt", b"12345")
    begin(town, bob)
    open_account(town, None)
    with town.as_user(alice) as conn:
        people = {person.email: person for person in admin.list_people(conn)}
    assert set(people) == {"ann@example.org", ALICES, BOBS}
    mine, bobs = people[ALICES], people[BOBS]
    assert (mine.files, mine.bytes, mine.collections, mine.is_administrator, mine.sign_in) == (1, 5, 1, True, "none")
    assert (bobs.files, bobs.sessions, bobs.is_administrator, bobs.is_open) == (0, 1, False, True)
    assert people["ann@example.org"].sign_in == "password"
    assert people["ann@example.org"].label == "Ann"


def test_administrators_are_made_and_unmade(town: Database, alice: UUID, bob: UUID) -> None:
    with town.as_user(alice) as conn:
        admin.set_administrator(conn, bob, True)
    with town.as_user(bob) as conn:
        admin.set_administrator(conn, alice, False)
    with pytest.raises(NotAllowed), town.as_user(alice) as conn:
        admin.list_people(conn)
    assert "bob@example.org made alice@example.org an ordinary account again" in acts(town, bob)
    with pytest.raises(InvalidInput, match="no account here"), town.as_user(bob) as conn:
        admin.set_administrator(conn, uuid4(), True)


def test_a_guest_never_becomes_administrator(town: Database, alice: UUID) -> None:
    guest = open_account(town, None)
    with pytest.raises(InvalidInput, match="no account here"), town.as_user(alice) as conn:
        admin.set_administrator(conn, guest, True)


def test_the_last_administrator_stays_one(town: Database, alice: UUID, bob: UUID) -> None:
    with town.as_user(LOCAL_USER) as conn:
        admin.set_administrator(conn, alice, False)
    with pytest.raises(InvalidInput, match="Somebody has to be administrator"), town.as_user(LOCAL_USER) as conn:
        admin.set_administrator(conn, LOCAL_USER, False)
    with pytest.raises(InvalidInput, match="can't close your own"), town.as_user(LOCAL_USER) as conn:
        admin.set_account_open(conn, LOCAL_USER, False)
    with pytest.raises(InvalidInput, match="can't delete your own"), town.as_user(LOCAL_USER) as conn:
        admin.delete_person(conn, LOCAL_USER)
    for statement in (
        "update corpuscope.people set disabled_at = now() where user_id = %s",
        "delete from auth.users where id = %s",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="has to be administrator"):
            run_as_owner(town, statement, LOCAL_USER)


@pytest.mark.parametrize("verb", ["delete", "close", "unmake"])
def test_two_administrators_who_strike_at_once_leave_one(town: Database, alice: UUID, verb: str) -> None:
    run_as_owner(town, "update corpuscope.people set password_hash = 'x' where user_id = %s", alice)
    start = threading.Barrier(2)
    refused: list[CorpuscopeError] = []

    def strike(actor: UUID, other: UUID) -> None:
        try:
            with town.as_user(actor) as conn:
                start.wait(20)
                if verb == "delete":
                    admin.delete_person(conn, other)
                elif verb == "close":
                    admin.set_account_open(conn, other, False)
                else:
                    admin.set_administrator(conn, other, False)
        except CorpuscopeError as error:
            refused.append(error)

    threads = [threading.Thread(target=strike, args=pair) for pair in ((alice, LOCAL_USER), (LOCAL_USER, alice))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 1
    left = "select count(*) from corpuscope.people where is_administrator and disabled_at is null"
    assert run_as_owner(town, left) == [(1,)]


def test_a_closed_account_is_no_administrator_that_counts(town: Database, alice: UUID) -> None:
    """Ann is closed, so that Alice, who can't sign in with a password in this test, is the last."""
    run_as_owner(town, "update corpuscope.people set password_hash = 'x' where user_id = %s", alice)
    with town.as_user(alice) as conn:
        admin.set_account_open(conn, LOCAL_USER, False)
    with pytest.raises(InvalidInput, match="has to be administrator"), town.as_user(alice) as conn:
        admin.set_administrator(conn, alice, False)


def test_closing_an_account_ends_its_sessions_and_deletes_nothing(
    town: Database, alice: UUID, bob: UUID, corpus: UUID
) -> None:
    with town.as_user(alice) as conn:
        share(conn, corpus, BOBS, "owner")
    session = begin(town, bob)
    with town.as_user(alice) as conn:
        admin.set_account_open(conn, bob, False)
    assert not stands(town, session)
    with town.as_user(alice) as conn:
        (closed,) = [person for person in admin.list_people(conn) if person.user_id == bob]
        assert (closed.is_open, closed.sessions, closed.collections) == (False, 0, 1)
        admin.set_account_open(conn, bob, True)
    assert not stands(town, session), "an old session doesn't come back"
    with town.as_user(bob) as conn:
        assert len(list_people_of(conn, corpus)) == 2


def test_deleting_says_before_what_it_will_do(
    town: Database, alice: UUID, bob: UUID, corpus: UUID, store: Store
) -> None:
    with town.as_user(alice) as conn:
        share(conn, corpus, BOBS, "editor")
    with town.as_user(bob) as conn:
        bobs_own = create_collection(conn, "Bob's own")
        conn.execute("insert into public.chats (collection_id, title) values (%s, 'one')", [corpus])
        share_by_link(conn, bobs_own)
    store("b.txt", b"from Bob", user=bob)
    session = begin(town, bob)
    with town.as_user(alice) as conn:
        told = admin.describe_removal(conn, bob)
    assert told == admin.Removal(["Bob's own"], 1, 1, 1, 1, 1)
    with town.as_user(alice) as conn:
        admin.set_limits(conn, "person", bob, files=9, bytes=None, questions_per_day=None)
        admin.delete_person(conn, bob)
    assert not stands(town, session)
    with town.as_user(alice) as conn:
        assert [one.role for one in list_people_of(conn, bobs_own)] == ["owner"]
        assert [one.user_id for one in list_people_of(conn, corpus)] == [alice]
        assert open_invitations(conn, bobs_own) == []
        assert [limits for limits in admin.list_limits(conn) if limits.subject] == []
        assert conn.execute("select count(*) from public.documents").fetchone() == (1,)
        assert conn.execute("select count(*) from public.chats").fetchone() == (0,)
    assert any("deleted the account bob@example.org" in act for act in acts(town, alice))
    assert any("took “Bob's own” over" in act for act in acts(town, alice))


def test_an_invitation_makes_one_account(town: Database, alice: UUID) -> None:
    with town.as_user(alice) as conn:
        token = admin.invite_person(conn, " Dan@Example.org ", as_administrator=True)
        (invitation,) = admin.list_invitations(conn)
    assert (invitation.email, invitation.as_administrator, invitation.invited_by) == ("dan@example.org", True, ALICES)
    dan = open_account(town, "dan@example.org")
    accept(town, token, dan)
    with town.as_user(dan) as conn:
        assert len(admin.list_people(conn)) == 4
        assert admin.list_invitations(conn) == []
    with pytest.raises(InvalidInput, match="used already"):
        accept(town, token, open_account(town, "eve@example.org"))


@pytest.mark.parametrize(
    ("email", "as_administrator", "said"),
    [("nobody", False, "not an e-mail address"), (BOBS, False, "has an account"), (None, True, "needs an e-mail")],
)
def test_what_is_no_invitation_is_said(
    town: Database, alice: UUID, email: str | None, as_administrator: bool, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said), town.as_user(alice) as conn:
        admin.invite_person(conn, email, as_administrator)


def test_an_invitation_is_revoked_once(town: Database, alice: UUID, bob: UUID) -> None:
    with town.as_user(alice) as conn:
        token = admin.invite_person(conn, None)
        (invitation,) = admin.list_invitations(conn)
    with pytest.raises(NotFound), town.as_user(bob) as conn:
        admin.revoke_invitation(conn, invitation.id)
    with town.as_user(bob) as conn:
        assert admin.list_invitations(conn) == []
    with town.as_user(alice) as conn:
        admin.revoke_invitation(conn, invitation.id)
    with pytest.raises(NotFound, match="revoked already"), town.as_user(alice) as conn:
        admin.revoke_invitation(conn, invitation.id)
    with pytest.raises(InvalidInput, match="used already"):
        accept(town, token, open_account(town, "dan@example.org"))


def test_a_reset_link_is_for_whoever_has_a_password(town: Database, alice: UUID, bob: UUID) -> None:
    with pytest.raises(InvalidInput, match="doesn't sign in with a password"), town.as_user(alice) as conn:
        admin.make_password_reset(conn, bob)
    run_as_owner(town, "update corpuscope.people set password_hash = %s where user_id = %s", hashed("old"), bob)
    with town.as_user(alice) as conn:
        first, second = admin.make_password_reset(conn, bob), admin.make_password_reset(conn, bob)
    assert len({first, second, new_token()}) == 3
    assert run_as_owner(town, "select count(*) from corpuscope.password_resets where used_at is null") == [(1,)]


def test_sessions_are_listed_and_ended_by_whose_they_are(town: Database, alice: UUID, bob: UUID) -> None:
    here, there, other = begin(town, bob), begin(town, bob), begin(town, alice)
    with town.as_user(here.identity.claims) as conn:
        mine = admin.list_sessions(conn)
        assert {row.id: row.is_this for row in mine} == {here.id: True, there.id: False}
        assert mine[0].device == "Firefox on Linux"
        with pytest.raises(NotFound, match="ended already"):
            admin.end_session(conn, other.id)
        admin.end_session(conn, there.id)
    assert not stands(town, there)
    assert stands(town, here)
    assert stands(town, other)
    with town.as_user(alice) as conn:
        assert [row.id for row in admin.list_sessions(conn, bob)] == [here.id]
        admin.end_session(conn, here.id)
    assert not stands(town, here)


def test_signing_out_everywhere_can_spare_this_one(town: Database, alice: UUID, bob: UUID) -> None:
    sessions = [begin(town, bob) for _ in range(3)]
    with town.as_user(sessions[0].identity.claims) as conn:
        assert admin.end_sessions(conn, keep=sessions[0].id) == 2
    assert [stands(town, one) for one in sessions] == [True, False, False]
    with town.as_user(alice) as conn:
        assert admin.end_sessions(conn, bob) == 1
    assert not stands(town, sessions[0])


def test_limits_are_set_and_given_back(town: Database, alice: UUID, bob: UUID, store: Store, corpus: UUID) -> None:
    with town.as_user(alice) as conn:
        share(conn, corpus, BOBS, "editor")
        admin.set_limits(conn, "person", None, files=1, bytes=1000, questions_per_day=5)
        admin.set_limits(conn, "person", bob, files=2, bytes=None, questions_per_day=None)
        rows = {(row.scope, row.subject): row for row in admin.list_limits(conn)}
    assert rows["person", None].files == 1
    assert (rows["person", bob].name, rows["person", bob].files, rows["person", bob].bytes) == (BOBS, 2, None)
    store("1.txt", b"one", user=bob)
    store("2.txt", b"two", user=bob)
    with pytest.raises(LimitReached, match="2 files"):
        store("3.txt", b"three", user=bob)
    with town.as_user(alice) as conn:
        admin.set_limits(conn, "person", bob, files=None, bytes=None, questions_per_day=None)
        assert ("person", bob) not in {(row.scope, row.subject) for row in admin.list_limits(conn)}
    with pytest.raises(LimitReached, match="1 file"):
        store("3.txt", b"three", user=bob)
    assert "changed the limits of every person (bytes: 1 KB, files: 1, questions a day: 5)" in " ".join(
        acts(town, alice)
    )


@pytest.mark.parametrize("scope", ["person", "collection"])
def test_limits_of_nobody_are_refused(town: Database, alice: UUID, scope: admin.Scope) -> None:
    with pytest.raises(InvalidInput, match="no such person or collection"), town.as_user(alice) as conn:
        admin.set_limits(conn, scope, uuid4(), files=1, bytes=None, questions_per_day=None)


def test_negative_limits_and_those_of_one_guest_are_refused(town: Database, alice: UUID, bob: UUID) -> None:
    with pytest.raises(InvalidInput, match="not negative"), town.as_user(alice) as conn:
        admin.set_limits(conn, "guest", None, files=-1, bytes=None, questions_per_day=None)
    with pytest.raises(InvalidInput, match="all guests"), town.as_user(alice) as conn:
        admin.set_limits(conn, "guest", bob, files=1, bytes=None, questions_per_day=None)


def test_limits_go_with_the_collection(town: Database, alice: UUID, corpus: UUID) -> None:
    with town.as_user(alice) as conn:
        admin.set_limits(conn, "collection", corpus, files=7, bytes=None, questions_per_day=None)
        conn.execute("delete from public.collections where id = %s", [corpus])
        assert [row for row in admin.list_limits(conn) if row.subject] == []


def test_all_collections_are_listed_from_outside(town: Database, alice: UUID, bob: UUID, corpus: UUID) -> None:
    with town.as_user(bob) as conn:
        create_collection(conn, "Bob's own")
    with town.as_user(alice) as conn:
        found = {row.name: row for row in admin.list_all_collections(conn)}
        assert conn.execute("select count(*) from public.collections").fetchone() == (1,)
    assert set(found) == {"Corpus", "Bob's own"}
    assert (found["Bob's own"].owners, found["Bob's own"].members, found["Bob's own"].files) == ([BOBS], 1, 0)


def test_a_name_is_ones_own_to_change(town: Database, bob: UUID) -> None:
    with town.as_user(bob) as conn:
        admin.set_my_name(conn, "  Bob \n the  builder ")
    with town.as_accounts() as conn:
        person = find_person(conn, bob)
    assert person is not None
    assert person.name == "Bob the builder"
    assert acts(town, bob)[0] == "bob@example.org changed the name of bob@example.org to “Bob the builder”, before “”"
    with pytest.raises(InvalidInput, match="200 characters"), town.as_user(bob) as conn:
        conn.execute("select public.set_my_name(repeat('x', 201))")


def test_a_guest_has_no_name(town: Database) -> None:
    guest = open_account(town, None)
    with pytest.raises(NotAllowed, match="no account"), town.as_user(guest) as conn:
        admin.set_my_name(conn, "Guest of honour")


def test_activity_is_narrowed_in_the_database(town: Database, alice: UUID, bob: UUID) -> None:
    with town.as_user(bob) as conn:
        admin.set_my_name(conn, "Robert")
    with town.as_user(alice) as conn:
        admin.set_administrator(conn, bob, True)
        admin.note_list_export(conn, "the list of activity", 3)
        assert {entry.actor for entry in list_entries(conn, actor=bob)} == {bob}
        assert [entry.action for entry in list_entries(conn, actions=["made administrator", "exported"])] == [
            "exported",
            "made administrator",
        ]
        assert [entry.action for entry in list_entries(conn, text=" ROBERT ")] == ["name changed"]
        assert list_entries(conn, text="50%_") == []
        assert list_entries(conn, actions=[]) == []
