"""Sharing: who gets in, with which role, by which way, and how that ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from rag.corpus import sharing
from rag.corpus.collections import (
    create_collection,
    find_collection,
    get_collection,
    list_collections,
    rename_collection,
)
from rag.corpus.documents import list_documents
from rag.errors import CorpuscopeError, InvalidInput, NotAllowed, NotFound
from rag.store.database import Database
from tests.integration.conftest import Store
from tests.integration.townsfolk import accept, open_account, run_as_owner


@pytest.fixture(autouse=True)
def accounts(database: Database, alice: UUID, bob: UUID) -> None:
    open_account(database, "alice@example.org", id=alice)
    open_account(database, "bob@example.org", id=bob)


def give(database: Database, corpus: UUID, owner: UUID, email: str, role: Any) -> sharing.Shared:
    with database.as_user(owner) as conn:
        return sharing.share(conn, corpus, email, role)


def roles(database: Database, corpus: UUID, reader: UUID) -> dict[str, str]:
    with database.as_user(reader) as conn:
        return {member.email: member.role for member in sharing.list_people_of(conn, corpus)}


def test_somebody_with_an_account_has_access_at_once(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    assert give(database, corpus, alice, " Bob@Example.org ", "viewer") == sharing.Shared("added")
    assert roles(database, corpus, bob) == {"alice@example.org": "owner", "bob@example.org": "viewer"}
    assert give(database, corpus, alice, "bob@example.org", "editor") == sharing.Shared("changed")
    with database.as_user(bob) as conn:
        (shared,) = list_collections(conn)
    assert (shared.role, shared.is_member, shared.is_public) == ("editor", True, False)


def test_somebody_without_one_is_invited_and_the_link_works_once(database: Database, corpus: UUID, alice: UUID) -> None:
    shared = give(database, corpus, alice, "carol@example.org", "editor")
    assert shared.outcome == "invited"
    assert shared.token is not None
    carol = open_account(database, "carol@example.org")
    assert accept(database, shared.token, carol) == corpus
    assert roles(database, corpus, alice)["carol@example.org"] == "editor"
    with pytest.raises(InvalidInput, match="was used already"):
        accept(database, shared.token, carol)


def test_an_invitation_is_for_its_address_only(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    shared = give(database, corpus, alice, "carol@example.org", "editor")
    assert shared.token is not None
    with pytest.raises(InvalidInput, match="for somebody else"):
        accept(database, shared.token, bob)
    assert "bob@example.org" not in roles(database, corpus, alice)


def test_a_link_lets_in_whoever_is_first(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    with database.as_user(alice) as conn:
        token = sharing.share_by_link(conn, corpus, "editor")
    assert accept(database, token, bob) == corpus
    carol = open_account(database, "carol@example.org")
    with pytest.raises(InvalidInput, match="was used already"):
        accept(database, token, carol)
    assert roles(database, corpus, alice) == {"alice@example.org": "owner", "bob@example.org": "editor"}


def test_no_link_makes_an_owner(database: Database, corpus: UUID, alice: UUID) -> None:
    with pytest.raises(InvalidInput, match="viewers or editors"), database.as_user(alice) as conn:
        sharing.share_by_link(conn, corpus, "owner")  # type: ignore[arg-type]


def test_a_link_never_lowers_a_role(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        token = sharing.share_by_link(conn, corpus, "viewer")
    accept(database, token, alice)
    assert roles(database, corpus, alice) == {"alice@example.org": "owner"}


@pytest.mark.parametrize("how", ["expired", "revoked", "guest", "closed"])
def test_a_link_that_should_not_work_does_not(database: Database, corpus: UUID, alice: UUID, how: str) -> None:
    with database.as_user(alice) as conn:
        token = sharing.share_by_link(conn, corpus)
        (invitation,) = sharing.open_invitations(conn, corpus)
    person = open_account(database, None if how == "guest" else "carol@example.org")
    if how == "expired":
        run_as_owner(database, "update corpuscope.invitations set expires_at = now()")
    elif how == "closed":
        run_as_owner(database, "update corpuscope.people set disabled_at = now() where user_id = %s", person)
    elif how == "revoked":
        with database.as_user(alice) as conn:
            sharing.revoke(conn, invitation.id)
            assert sharing.open_invitations(conn, corpus) == []
    with pytest.raises(InvalidInput, match="used already, has expired, or is for somebody else"):
        accept(database, token, person)
    assert set(roles(database, corpus, alice)) == {"alice@example.org"}


def test_the_database_knows_no_token(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        token = sharing.share_by_link(conn, corpus)
    (row,) = run_as_owner(database, "select to_jsonb(i)::text from corpuscope.invitations i")
    assert token not in row[0]
    assert token.encode().hex() not in row[0]


def test_inviting_again_makes_the_first_link_useless(database: Database, corpus: UUID, alice: UUID) -> None:
    first = give(database, corpus, alice, "carol@example.org", "owner")
    second = give(database, corpus, alice, "carol@example.org", "viewer")
    carol = open_account(database, "carol@example.org")
    assert first.token is not None
    assert second.token is not None
    with pytest.raises(InvalidInput):
        accept(database, first.token, carol)
    accept(database, second.token, carol)
    assert roles(database, corpus, alice)["carol@example.org"] == "viewer"


def test_an_open_invitation_is_seen_by_owners_only(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    give(database, corpus, alice, "bob@example.org", "editor")
    give(database, corpus, alice, "carol@example.org", "viewer")
    with database.as_user(alice) as conn:
        (invitation,) = sharing.open_invitations(conn, corpus)
    assert (invitation.email, invitation.role, invitation.invited_by) == (
        "carol@example.org",
        "viewer",
        "alice@example.org",
    )
    with database.as_user(bob) as conn:
        assert sharing.open_invitations(conn, corpus) == []
        with pytest.raises(NotFound, match="isn't yours to revoke"):
            sharing.revoke(conn, invitation.id)


ACTS: dict[str, Callable[[psycopg.Connection[Any], UUID, UUID], object]] = {
    "share": lambda conn, corpus, other: sharing.share(conn, corpus, "dave@example.org", "viewer"),
    "link": lambda conn, corpus, other: sharing.share_by_link(conn, corpus),
    "change": lambda conn, corpus, other: sharing.change_role(conn, corpus, other, "viewer"),
    "remove": lambda conn, corpus, other: sharing.remove(conn, corpus, other),
    "transfer": lambda conn, corpus, other: sharing.transfer(conn, corpus, other),
    "publish": lambda conn, corpus, other: sharing.set_public(conn, corpus, True),
    "rename": lambda conn, corpus, other: rename_collection(conn, corpus, "Mine"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("role", ["editor", "viewer", "stranger", "guest", "closed owner"])
def test_only_owners_decide(database: Database, corpus: UUID, alice: UUID, bob: UUID, role: str, act: str) -> None:
    person = open_account(database, None) if role == "guest" else bob
    if role == "guest":
        run_as_owner(database, "update public.collections set is_public = true")
    elif role != "stranger":
        give(database, corpus, alice, "bob@example.org", role.rpartition(" ")[2])
    if role == "closed owner":
        run_as_owner(database, "update corpuscope.people set disabled_at = now() where user_id = %s", bob)
    before = state(database)
    with pytest.raises((NotAllowed, NotFound)), database.as_user(person) as conn:
        ACTS[act](conn, corpus, alice)
    assert state(database) == before


@pytest.mark.parametrize("act", [act for act in ACTS if act not in ("remove", "change")])
def test_an_owner_may_do_each(database: Database, corpus: UUID, alice: UUID, bob: UUID, act: str) -> None:
    give(database, corpus, alice, "bob@example.org", "editor")
    before = state(database)
    with database.as_user(alice) as conn:
        ACTS[act](conn, corpus, bob)
    assert state(database) != before


def state(database: Database) -> list[Any]:
    return run_as_owner(
        database,
        "select (select jsonb_agg(to_jsonb(m) order by m.user_id) from public.collection_members m),"
        " (select jsonb_agg(to_jsonb(c)) from public.collections c),"
        " (select jsonb_agg(to_jsonb(i) order by i.id) from corpuscope.invitations i)",
    )


def test_a_changed_or_removed_person_notices_at_once(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    give(database, corpus, alice, "bob@example.org", "editor")
    with database.as_user(alice) as conn:
        sharing.change_role(conn, corpus, bob, "viewer")
    with database.as_user(bob) as conn:
        assert get_collection(conn, corpus).role == "viewer"
    with database.as_user(alice) as conn:
        sharing.remove(conn, corpus, bob)
        with pytest.raises(NotFound, match="no access any more"):
            sharing.remove(conn, corpus, bob)
        with pytest.raises(NotFound, match="no access any more"):
            sharing.change_role(conn, corpus, bob, "editor")
    with database.as_user(bob) as conn:
        assert list_collections(conn) == []


def test_the_last_owner_can_neither_leave_nor_step_down(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    give(database, corpus, alice, "bob@example.org", "editor")
    attempts: list[Callable[[psycopg.Connection[Any]], object]] = [
        lambda conn: sharing.leave(conn, corpus),
        lambda conn: sharing.change_role(conn, corpus, alice, "viewer"),
        lambda conn: sharing.share(conn, corpus, "alice@example.org", "viewer"),
        lambda conn: sharing.remove(conn, corpus, alice),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidInput, match="at least one owner") as refusal, database.as_user(alice) as conn:
            attempt(conn)
        assert "Make somebody else owner first" in refusal.value.hint
    assert roles(database, corpus, alice)["alice@example.org"] == "owner"


def test_anybody_else_can_leave(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    give(database, corpus, alice, "bob@example.org", "viewer")
    with database.as_user(bob) as conn:
        sharing.leave(conn, corpus)
    with pytest.raises(NotFound, match="not a member"), database.as_user(bob) as conn:
        sharing.leave(conn, corpus)
    assert set(roles(database, corpus, alice)) == {"alice@example.org"}


def test_passing_it_on_swaps_the_roles(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    with pytest.raises(InvalidInput, match="Share the collection with that person first"), database.as_user(alice) as c:
        sharing.transfer(c, corpus, bob)
    give(database, corpus, alice, "bob@example.org", "viewer")
    with database.as_user(alice) as conn:
        sharing.transfer(conn, corpus, bob)
    assert roles(database, corpus, bob) == {"alice@example.org": "editor", "bob@example.org": "owner"}


def test_with_the_ownership_go_the_open_invitations(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    """Else an invitation made before would be a way back in."""
    give(database, corpus, alice, "bob@example.org", "owner")
    shared = give(database, corpus, alice, "carol@example.org", "owner")
    with database.as_user(bob) as conn:
        sharing.remove(conn, corpus, alice)
        assert sharing.open_invitations(conn, corpus) == []
    assert shared.token is not None
    with pytest.raises(InvalidInput):
        accept(database, shared.token, open_account(database, "carol@example.org"))


@pytest.mark.parametrize("email", ["", "bob", "a b@example.org", "@", f"{'x' * 330}@example.org"])
def test_what_is_no_address_is_refused(database: Database, corpus: UUID, alice: UUID, email: str) -> None:
    with pytest.raises(InvalidInput, match="not an e-mail address"):
        give(database, corpus, alice, email, "viewer")


def test_what_is_no_role_is_refused(database: Database, corpus: UUID, alice: UUID) -> None:
    with pytest.raises(InvalidInput, match="viewer, editor or owner"):
        give(database, corpus, alice, "bob@example.org", "king")


def test_guests_and_closed_accounts_are_nobody_to_share_with(database: Database, corpus: UUID, alice: UUID) -> None:
    guest = open_account(database, None)
    with pytest.raises(InvalidInput, match="can't be given access"), database.as_user(alice) as conn:
        conn.execute("insert into public.collection_members values (%s, %s, 'viewer')", [corpus, guest])
    closed = open_account(database, "carol@example.org")
    run_as_owner(database, "update corpuscope.people set disabled_at = now() where user_id = %s", closed)
    assert give(database, corpus, alice, "carol@example.org", "viewer").outcome == "invited"


def test_a_public_collection_is_read_by_everybody_and_changed_by_nobody_else(
    database: Database, corpus: UUID, alice: UUID, bob: UUID, store: Store
) -> None:
    store("a.txt", b"a")
    guest = open_account(database, None)
    with database.as_user(alice) as conn:
        sharing.set_public(conn, corpus, True)
    for reader in (bob, guest):
        with database.as_user(reader) as conn:
            (seen,) = list_collections(conn)
            assert (seen.role, seen.is_public, seen.is_member) == ("viewer", True, False)
            assert get_collection(conn, corpus) == find_collection(conn, "CORPUS") == seen
            assert [document.name for document in list_documents(conn, corpus)] == ["a.txt"]
            assert sharing.list_people_of(conn, corpus) == []
        with pytest.raises(CorpuscopeError), database.as_user(reader) as conn:
            conn.execute(
                "insert into public.documents (collection_id, name, size, sha256) values (%s, 'b.txt', 1, sha256('b'))",
                [corpus],
            )
    with database.as_user(alice) as conn:
        sharing.set_public(conn, corpus, False)
    for reader in (bob, guest):
        with database.as_user(reader) as conn:
            assert list_collections(conn) == []


def test_own_collections_come_before_public_ones(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    with database.as_user(alice) as conn:
        sharing.set_public(conn, corpus, True)
    with database.as_user(bob) as conn:
        own = create_collection(conn, "Zebra")
        namesake = create_collection(conn, "Corpus")
        assert [one.id for one in list_collections(conn)] == [namesake, own, corpus]
        assert find_collection(conn, "corpus").id == namesake


def test_a_collection_that_is_not_there_is_said_to_be_missing(database: Database, alice: UUID) -> None:
    with pytest.raises(NotFound), database.as_user(alice) as conn:
        sharing.set_public(conn, uuid4(), True)
    with pytest.raises(NotFound), database.as_user(alice) as conn:
        sharing.remove(conn, uuid4(), alice)
