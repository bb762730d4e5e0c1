"""The audit list: each act leaves one entry that says who did what; nobody changes it; who may read what."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from rag.corpus import sharing
from rag.corpus.audit import AuditEntry, describe, list_entries, note_export
from rag.corpus.collections import create_collection, delete_collection, rename_collection
from rag.corpus.documents import delete_documents, store_document
from rag.errors import CorpuscopeError, InvalidInput, NotAllowed
from rag.store.database import Database
from tests.integration.conftest import Store
from tests.integration.townsfolk import accept, open_account, run_as_owner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def accounts(database: Database, alice: UUID, bob: UUID) -> None:
    open_account(database, "alice@example.org", id=alice)
    open_account(database, "bob@example.org", id=bob)


Act = Callable[[psycopg.Connection[Any], UUID, UUID], object]


def latest(database: Database) -> int:
    return int(run_as_owner(database, "select coalesce(max(id), 0) from public.audit_log")[0][0])


def entries_since(database: Database, before: int, reader: UUID) -> list[AuditEntry]:
    with database.as_user(reader) as conn:
        return [entry for entry in list_entries(conn) if entry.id > before]


def store(conn: psycopg.Connection[Any], corpus: UUID, name: str) -> UUID:
    stored = store_document(conn, corpus, name, io.BytesIO(name.encode()), max_bytes=100)
    assert stored.document_id is not None
    return stored.document_id


def delete_two(conn: psycopg.Connection[Any], corpus: UUID, bob: UUID) -> None:
    delete_documents(conn, [store(conn, corpus, "a.txt"), store(conn, corpus, "b.txt")])


def save_profile(conn: psycopg.Connection[Any], corpus: UUID, bob: UUID) -> None:
    conn.execute(
        "insert into public.retrieval_profiles (collection_id, name, settings) values (%s, 'mine', '{}')", [corpus]
    )


#: What Alice does with a collection in which Bob is editor, and how the one entry of it reads.
ACTS: dict[str, tuple[Act, str]] = {
    "share": (
        lambda conn, corpus, bob: sharing.share(conn, corpus, "carol@example.org", "viewer"),
        "You gave carol@example.org access as viewer",
    ),
    "invite": (
        lambda conn, corpus, bob: sharing.share(conn, corpus, "new@example.org", "editor"),
        "You invited new@example.org as editor",
    ),
    "link": (
        lambda conn, corpus, bob: sharing.share_by_link(conn, corpus, "viewer"),
        "You invited whoever has the link as viewer",
    ),
    "change": (
        lambda conn, corpus, bob: sharing.change_role(conn, corpus, bob, "viewer"),
        "You made bob@example.org viewer, before editor",
    ),
    "remove": (
        lambda conn, corpus, bob: sharing.remove(conn, corpus, bob),
        "You took access away from bob@example.org, before editor",
    ),
    "publish": (
        lambda conn, corpus, bob: sharing.set_public(conn, corpus, True),
        "You made “Corpus” public: everybody may read it",
    ),
    "rename": (
        lambda conn, corpus, bob: rename_collection(conn, corpus, "Library"),
        "You renamed “Corpus” to “Library”",
    ),
    "delete": (
        lambda conn, corpus, bob: delete_collection(conn, corpus),
        "You deleted the collection “Corpus”",
    ),
    "make": (
        lambda conn, corpus, bob: create_collection(conn, "Second"),
        "You made the collection “Second”",
    ),
    "delete documents": (delete_two, "You deleted “a.txt”, “b.txt”"),
    "export": (
        lambda conn, corpus, bob: note_export(conn, corpus, "the documents table", 12),
        "You downloaded the documents table (12 rows)",
    ),
    "profile": (save_profile, "You saved the profile “mine” (version 1)"),
}


@pytest.mark.parametrize("name", ACTS)
def test_an_act_leaves_one_entry(database: Database, corpus: UUID, alice: UUID, bob: UUID, name: str) -> None:
    open_account(database, "carol@example.org")
    with database.as_user(alice) as conn:
        sharing.share(conn, corpus, "bob@example.org", "editor")
    before = latest(database)
    act, words = ACTS[name]
    with database.as_user(alice) as conn:
        act(conn, corpus, bob)
    (entry,) = entries_since(database, before, alice)
    assert describe(entry, alice) == words
    assert describe(entry) == words.replace("You", "alice@example.org", 1)
    assert (entry.actor, entry.actor_email) == (alice, "alice@example.org")
    assert entry.collection_name is not None


def test_what_was_rolled_back_leaves_none(database: Database, corpus: UUID, alice: UUID) -> None:
    before = latest(database)

    def share_and_leave() -> None:
        with database.as_user(alice) as conn:
            sharing.share(conn, corpus, "carol@example.org", "viewer")
            sharing.leave(conn, corpus)

    with pytest.raises(InvalidInput):
        share_and_leave()
    assert latest(database) == before


def test_what_changes_nothing_leaves_none(database: Database, corpus: UUID, alice: UUID) -> None:
    before = latest(database)
    with database.as_user(alice) as conn:
        sharing.change_role(conn, corpus, alice, "owner")
        sharing.set_public(conn, corpus, False)
        rename_collection(conn, corpus, "Corpus")
    assert latest(database) == before


def test_an_accepted_invitation_is_one_entry_of_whoever_accepted(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    with database.as_user(alice) as conn:
        token = sharing.share_by_link(conn, corpus, "viewer")
        other = sharing.share_by_link(conn, corpus, "editor")
    before = latest(database)
    accept(database, token, bob)
    accept(database, other, bob)
    second, first = entries_since(database, before, alice)
    assert describe(first) == "bob@example.org accepted an invitation as viewer"
    assert describe(second) == "bob@example.org accepted an invitation as editor"
    assert {first.actor, second.actor} == {bob}


def test_leaving_and_being_removed_are_told_apart(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    with database.as_user(alice) as conn:
        sharing.share(conn, corpus, "bob@example.org", "viewer")
    before = latest(database)
    with database.as_user(bob) as conn:
        sharing.leave(conn, corpus)
    (entry,) = entries_since(database, before, alice)
    assert describe(entry, alice) == "bob@example.org left, before viewer"


def test_passing_it_on_is_an_entry_for_each_of_the_two(
    database: Database, corpus: UUID, alice: UUID, bob: UUID
) -> None:
    with database.as_user(alice) as conn:
        sharing.share(conn, corpus, "bob@example.org", "viewer")
    before = latest(database)
    with database.as_user(alice) as conn:
        sharing.transfer(conn, corpus, bob)
    assert [describe(entry, alice) for entry in entries_since(database, before, bob)] == [
        "You made alice@example.org editor, before owner",
        "You made bob@example.org owner, before viewer",
    ]


def test_a_guest_is_called_one(database: Database, corpus: UUID, alice: UUID) -> None:
    guest = open_account(database, None)
    with database.as_user(alice) as conn:
        sharing.set_public(conn, corpus, True)
    with database.as_user(guest) as conn:
        note_export(conn, corpus, "a search")
        (own,) = list_entries(conn)
    assert describe(own, guest) == "You downloaded a search"
    assert describe(own) == "A guest downloaded a search"


def test_who_sees_what(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    carol = open_account(database, "carol@example.org")
    root = open_account(database, "root@example.org", administrator=True)
    with database.as_user(alice) as conn:
        sharing.share(conn, corpus, "bob@example.org", "editor")
    with database.as_user(bob) as conn:
        note_export(conn, corpus, "the documents table")
    with database.as_user(carol) as conn:
        create_collection(conn, "Carol's")

    def seen(reader: UUID) -> set[str]:
        with database.as_user(reader) as conn:
            return {describe(entry) for entry in list_entries(conn) if "account" not in entry.action}

    shared = {
        "alice@example.org made the collection “Corpus”",
        "alice@example.org gave bob@example.org access as editor",
    }
    export = {"bob@example.org downloaded the documents table"}
    carols = {"carol@example.org made the collection “Carol's”"}
    assert seen(alice) == shared | export
    assert seen(bob) == export
    assert seen(carol) == carols
    assert seen(root) == shared | export | carols
    with database.as_user(alice) as conn:
        sharing.transfer(conn, corpus, bob)
    assert shared | export <= seen(bob)
    run_as_owner(database, "update corpuscope.people set disabled_at = now() where user_id = %s", alice)
    assert seen(alice) == set()


def test_the_list_is_read_in_parts(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        for number in range(5):
            note_export(conn, corpus, f"part {number}", number)
        first = list_entries(conn, collection=corpus, limit=3)
        rest = list_entries(conn, collection=corpus, limit=3, before=first[-1].id)
    assert [entry.subject for entry in first + rest] == ["part 4", "part 3", "part 2", "part 1", "part 0", "Corpus"]


@pytest.mark.parametrize("administrator", [False, True])
def test_nobody_writes_changes_or_deletes_entries(database: Database, corpus: UUID, administrator: bool) -> None:
    person = open_account(database, "eve@example.org", administrator=administrator)
    before = run_as_owner(database, "select to_jsonb(a) from public.audit_log a order by id")
    for statement in (
        "update public.audit_log set action = 'nothing'",
        "delete from public.audit_log",
        "truncate public.audit_log",
        "insert into public.audit_log (action) values ('invented')",
        "select corpuscope.note('invented')",
        "drop table public.audit_log",
        "alter table public.audit_log disable row level security",
    ):
        with pytest.raises(CorpuscopeError), database.as_user(person) as conn:
            conn.execute(statement.encode())
    assert run_as_owner(database, "select to_jsonb(a) from public.audit_log a order by id") == before


def test_an_export_is_noted_only_where_one_may_read(database: Database, corpus: UUID, bob: UUID) -> None:
    before = latest(database)
    with pytest.raises(NotAllowed, match="isn't shared with you"), database.as_user(bob) as conn:
        note_export(conn, corpus, "everything")
    assert latest(database) == before


def test_an_entry_outlives_what_it_speaks_of(database: Database, corpus: UUID, alice: UUID, store: Store) -> None:
    store("a.txt", b"a")
    with database.as_user(alice) as conn:
        delete_collection(conn, corpus)
        deleted = list_entries(conn)[0]
    assert (deleted.collection_id, deleted.collection_name) == (corpus, "Corpus")
    assert [entry.action for entry in (deleted,)] == ["collection deleted"]


def test_many_deleted_documents_are_one_entry(database: Database, corpus: UUID, alice: UUID, store: Store) -> None:
    ids = [store(f"{letter}.txt", letter.encode()).document_id for letter in "abcde"]
    with database.as_user(alice) as conn:
        delete_documents(conn, [one for one in ids if one])
        entry = list_entries(conn)[0]
    assert describe(entry, alice) == "You deleted 5 documents, among them “a.txt”, “b.txt”, “c.txt”"


def test_every_action_has_words() -> None:
    """What the schema and the sign-in write down reads as a sentence and not as a key."""
    sources = [*ROOT.glob("migrations/*.sql"), *ROOT.glob("rag/auth/*.py")]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    calls = [call for text in texts for call in re.findall(r"corpuscope\.note\(\s*(.+?)(?:, |\n)", text)]
    actions = {action for call in calls for action in re.findall(r"'([a-z][a-z -]{3,40})'", call)}
    actions |= {
        action for text in texts for action in re.findall(r'(?:\bnote\(conn|action(?:: str)? ?)(?:, |=) ?"(.+?)"', text)
    }
    assert {"shared", "left", "made public", "exported", "signed out everywhere", "signed in"} <= actions
    for action in actions:
        entry = AuditEntry(1, None, None, None, action, None, None, "somebody", {})  # type: ignore[arg-type]
        assert describe(entry) != f"Corpuscope {action}: somebody", f"rag/corpus/audit.py has no words for {action}"
