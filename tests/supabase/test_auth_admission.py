"""Who of a project's users gets an account here, whose account that is, and who administers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.conninfo import make_conninfo

from rag.auth import people
from rag.auth.project_door import Caller, ProjectDoor
from rag.auth.supabase_auth import ProjectUser
from rag.corpus.collections import create_collection
from rag.errors import CorpuscopeError, InvalidInput, NotAllowed
from rag.records import LOCAL_USER
from rag.store import bootstrap
from rag.store.database import Database, connect, prepare
from tests.integration.door import audit, hashed
from tests.supabase.auth_stand_in import HERE, World, door_of, proof_of, somebody

ADA, BEN = "ada@example.org", "ben@example.org"
WITH_CODE = replace(HERE, knows_setup_code=True)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def door(database: Database, world: World) -> ProjectDoor:
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    return door_of(database, world)


@pytest.fixture
def ada(door: ProjectDoor) -> UUID:
    """The first, who administers."""
    return door.enter(proof_of(door, somebody(ADA)), WITH_CODE).session.identity.user_id


def person(database: Database, user_id: UUID) -> people.Person | None:
    with database.as_accounts() as conn:
        return people.find_person(conn, user_id)


def invite(database: Database, by: UUID, email: str | None, token: str = "t", **columns: Any) -> str:
    names = ["token_hash", "email", "invited_by", *columns]
    with database.as_accounts() as conn:
        conn.execute(
            f"insert into corpuscope.invitations ({', '.join(names)})"
            f" values (sha256(convert_to(%s, 'UTF8')), {', '.join(['%s'] * (len(names) - 1))})".encode(),
            [token, email, by, *columns.values()],
        )
    return token


def refused(door: ProjectDoor, user: ProjectUser, caller: Caller = HERE, match: str = "no account here") -> None:
    """They don't come in, have no account, and what the project gave them is given back."""
    world: World = door.project.world  # type: ignore[attr-defined]
    before = len(world.signed_out)
    with pytest.raises(NotAllowed, match=match):
        door.enter(proof_of(door, user), caller)
    assert len(world.signed_out) == before + 1
    assert person(door.database, user.id) is None


def test_the_first_needs_the_set_up_code_or_app_metadata(door: ProjectDoor, database: Database) -> None:
    refused(door, somebody(ADA), match="set-up code")
    ann = somebody("ann@example.org", administers=True)
    assert door.enter(proof_of(door, ann), HERE).session.identity.is_administrator
    refused(door, somebody(ADA), WITH_CODE)


def test_on_this_machine_alone_the_first_needs_no_code(database: Database, world: World) -> None:
    door = door_of(database, world, public_url="")
    assert door.enter(proof_of(door, somebody(ADA)), HERE).session.identity.is_administrator


def test_the_first_takes_over_what_was_made_without_sign_in(door: ProjectDoor, database: Database) -> None:
    with database.as_user(LOCAL_USER) as conn:
        collection = create_collection(conn, "From before")
    with database.as_owner() as conn:
        conn.execute(
            "insert into public.chats (collection_id, created_by, title) values (%s, %s, 'Old talk')",
            [collection, LOCAL_USER],
        )
    entered = door.enter(proof_of(door, somebody(ADA, name="Ada")), WITH_CODE)
    identity = entered.session.identity
    with database.as_user(identity.claims) as conn:
        assert conn.execute("select name from collections").fetchall() == [("From before",)]
        assert conn.execute("select title from chats").fetchall() == [("Old talk",)]
        assert conn.execute("select role from collection_members").fetchall() == [("owner",)]
    assert identity.name == "Ada"
    assert person(database, LOCAL_USER) is None
    prepare(database.owner_dsn, database.owner_dsn, auth="supabase")
    assert person(database, LOCAL_USER) is None, "nobody is made again at the next start"


@pytest.mark.parametrize("way", ["password", "code", "provider"])
def test_whoever_was_invited_by_address_comes_in(door: ProjectDoor, ada: UUID, way: Any) -> None:
    with door.database.as_user(ada) as conn:
        collection = create_collection(conn, "Valves")
    invite(door.database, ada, BEN, collection_id=collection, role="viewer")
    entered = door.enter(proof_of(door, somebody(BEN), way), HERE)
    with door.database.as_user(entered.session.identity.claims) as conn:
        assert conn.execute("select name from collections").fetchall() == [("Valves",)]
    assert not entered.session.identity.is_administrator


def test_an_address_that_nobody_proved_opens_no_invitation(door: ProjectDoor, ada: UUID, world: World) -> None:
    """Where the project confirms no addresses, anybody signs up under anybody's."""
    invite(door.database, ada, BEN, as_administrator=True)
    refused(door, somebody(BEN, is_confirmed=False))
    world.confirms = False
    refused(door, somebody(BEN))
    assert door.enter(proof_of(door, somebody(BEN), "code"), HERE).session.identity.email == BEN


def test_a_link_lets_in_whoever_holds_it(door: ProjectDoor, ada: UUID, world: World) -> None:
    world.confirms = False
    with door.database.as_user(ada) as conn:
        collection = create_collection(conn, "Lakes")
    caller = replace(HERE, invitation=invite(door.database, ada, None, collection_id=collection, role="editor"))
    assert door.enter(proof_of(door, somebody(BEN)), caller).collection_id == collection
    refused(door, somebody("cy@example.org"), caller)


def test_a_link_for_another_address_lets_nobody_in(door: ProjectDoor, ada: UUID) -> None:
    caller = replace(HERE, invitation=invite(door.database, ada, "dee@example.org"))
    refused(door, somebody(BEN), caller)


def test_anyone_comes_in_where_the_settings_say_so(database: Database, world: World) -> None:
    door = door_of(database, world, supabase_sign_up="anyone")
    door.enter(proof_of(door, somebody(ADA)), WITH_CODE)
    assert door.enter(proof_of(door, somebody(BEN)), HERE).session.identity.email == BEN
    refused(door, replace(somebody(BEN), email=None, id=uuid4()), match="no e-mail address")
    refused(door, somebody("y@example.org", is_anonymous=True), match="no e-mail address")


def test_a_closed_account_stays_closed(door: ProjectDoor, ada: UUID) -> None:
    invite(door.database, ada, BEN)
    ben = somebody(BEN)
    door.enter(proof_of(door, ben), HERE)
    with door.database.as_user(ada) as conn:
        conn.execute("select public.set_account_open(%s, false)", [ben.id])
    with pytest.raises(NotAllowed, match="was closed"):
        door.enter(proof_of(door, replace(ben, administers=True)), HERE)
    found = person(door.database, ben.id)
    assert found is not None
    assert not found.is_administrator


def test_app_metadata_makes_and_unmakes_administrators(door: ProjectDoor, ada: UUID) -> None:
    ben = somebody(BEN, administers=True)
    assert door.enter(proof_of(door, ben), HERE).session.identity.is_administrator
    silent = door.enter(proof_of(door, replace(ben, administers=None)), HERE)
    assert silent.session.identity.is_administrator, "what it doesn't say is ours to decide"
    assert not door.enter(proof_of(door, replace(ben, administers=False)), HERE).session.identity.is_administrator
    alone = replace(somebody(ADA), id=ada, administers=False)
    assert door.enter(proof_of(door, alone), HERE).session.identity.is_administrator, "the last one stays"


def test_somebody_with_an_account_from_before_has_it_on(door: ProjectDoor, ada: UUID) -> None:
    """Ben signed in with a password of AUTH=local; only a proven address makes his things the user's."""
    with door.database.as_accounts() as conn:
        former = people.add_person(conn, BEN, "Ben", password_hash=hashed("nine green bottles"))
    with door.database.as_user(former) as conn:
        create_collection(conn, "Ben's")
    refused(door, somebody(BEN, is_confirmed=False), match="doesn't say that this e-mail address is yours")
    ben = somebody(BEN)
    entered = door.enter(proof_of(door, ben), HERE)
    assert entered.session.identity.user_id == ben.id
    with door.database.as_user(entered.session.identity.claims) as conn:
        assert conn.execute("select name from collections").fetchall() == [("Ben's",)]
    assert person(door.database, former) is None
    refused(door, somebody(BEN), match="Another account of the project")


def test_an_address_follows_the_project(door: ProjectDoor, ada: UUID) -> None:
    invite(door.database, ada, BEN)
    ben = somebody(BEN)
    door.enter(proof_of(door, ben), HERE)
    for changed, expected in [
        (replace(ben, email="benjamin@example.org"), "benjamin@example.org"),
        (replace(ben, email="unproven@example.org", is_confirmed=False), "benjamin@example.org"),
        (replace(ben, email=ADA), "benjamin@example.org"),
    ]:
        assert door.enter(proof_of(door, changed), HERE).session.identity.email == expected


def test_a_guest_is_an_anonymous_user_of_the_project(door: ProjectDoor, ada: UUID, world: World) -> None:
    with pytest.raises(NotAllowed, match="nothing here"):
        door.enter_as_guest(HERE)
    with door.database.as_owner() as conn:
        conn.execute("update public.collections set is_public = true where id = %s", [public_collection(door, ada)])
    entered = door.enter_as_guest(HERE)
    assert entered.session.identity.is_guest
    assert entered.session.identity.user_id in world.users
    assert door.sessions.tokens_of(entered.session.id) is not None
    world.problem = NotAllowed("That is switched off in the Supabase project.")
    with pytest.raises(NotAllowed, match="switched off"):
        door.enter_as_guest(HERE)


def public_collection(door: ProjectDoor, owner: UUID) -> UUID:
    with door.database.as_user(owner) as conn:
        return create_collection(conn, "Open")


def test_nobody_who_may_not_come_in_makes_an_account_at_the_project(door: ProjectDoor, ada: UUID, world: World) -> None:
    where = {"back": "https://corpus.example.org/sign-in/callback"}
    assert door.sign_up(BEN, "nine green bottles", "", HERE, **where) == (None, "")
    door.send_code(BEN, HERE, **where)
    assert (world.made, world.sent) == ([], [(BEN, False)])
    invite(door.database, ada, BEN)
    door.sign_up(BEN, "nine green bottles", "", HERE, **where)
    door.send_code(BEN, HERE, **where)
    assert (world.made, world.sent[1:]) == ([BEN], [(BEN, True)])
    with pytest.raises(InvalidInput):
        door.sign_up(BEN, "short", "", HERE, **where)


class TestHosted:
    """``auth`` is a Supabase project's own here, as far as we can tell: without the stamp of our stand-in."""

    @pytest.fixture
    def hosted(self, database: Database) -> Callable[[], None]:
        def become() -> None:
            with connect(make_conninfo(database.owner_dsn, user="supabase_admin")) as conn:
                conn.execute("comment on schema auth is 'Auth: Stores data used for managing users'")

        return become

    def test_no_row_is_invented_in_auth_users(
        self, database: Database, hosted: Callable[[], None], world: World
    ) -> None:
        hosted()
        door = door_of(database, world)
        ada = somebody(ADA)
        with pytest.raises(CorpuscopeError, match="not those of DATABASE_URL"):
            door.enter(proof_of(door, ada), WITH_CODE)
        with pytest.raises(InvalidInput, match="sign in with its own accounts"), database.as_accounts() as conn:
            people.add_person(conn, BEN, password_hash="x")
        with database.as_owner() as conn:
            bootstrap.ensure_user(conn, ada.id, ADA)  # by its Auth
        assert door.enter(proof_of(door, ada), WITH_CODE).session.identity.user_id == ada.id

    @pytest.mark.parametrize(("auth", "made"), [("none", True), ("local", False), ("supabase", False)])
    def test_the_local_user_is_made_for_auth_none_only(
        self, database: Database, hosted: Callable[[], None], auth: str, made: bool
    ) -> None:
        door = door_of(database, World())
        door.enter(proof_of(door, somebody(ADA)), WITH_CODE)
        assert person(database, LOCAL_USER) is None, "taken over"
        hosted()
        prepare(database.owner_dsn, database.owner_dsn, auth=auth)
        assert (person(database, LOCAL_USER) is not None) is made

    def test_an_address_here_changes_nothing_there(
        self, database: Database, hosted: Callable[[], None], world: World
    ) -> None:
        door = door_of(database, world)
        ada = somebody(ADA)
        door.enter(proof_of(door, ada), WITH_CODE)
        hosted()
        door.enter(proof_of(door, replace(ada, email="new@example.org")), HERE)
        with database.as_owner() as conn:
            assert conn.execute("select email from auth.users where id = %s", [ada.id]).fetchall() == [(ADA,)]


def test_what_happens_at_the_door_is_in_the_audit_list(door: ProjectDoor, ada: UUID) -> None:
    entered = door.enter(proof_of(door, somebody(BEN, administers=True)), HERE)
    door.sign_out(entered.session)
    assert [entry for entry in audit(door.database) if entry[1] == BEN][-2:] == [
        ("signed in", BEN),
        ("signed out", BEN),
    ]
