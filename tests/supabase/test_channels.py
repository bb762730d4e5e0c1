"""Who may join which Realtime channel, hear, send and appear there: every role, by the rows that Realtime would try."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from rag.store.database import Database, connect
from tests.permissions.cast import (
    ALICE,
    ANON,
    BOB,
    CAST,
    CLOSED,
    EDITOR,
    GUEST,
    OWNER,
    PEOPLE,
    SERVICE,
    STRANGER,
    VIEWER,
    Part,
    Stage,
    acting,
    seed,
)
from tests.supabase.channel_probe import Rights, probe

NONE, ALL = Rights(), Rights(True, True, True, True)
#: People hear and appear; only the database and the server's key speak.
TAKES_PART = Rights(hear=True, see=True, send=False, appear=True)


@pytest.fixture(scope="module")
def stage(module_database: Database) -> Stage:
    return seed(module_database)


@pytest.fixture(scope="module")
def admin(module_database: Database, stage: Stage) -> Iterator[Connection[Any]]:
    with connect(make_conninfo(module_database.owner_dsn, user="supabase_admin")) as conn:
        yield conn


def rights(admin: Connection[Any], part: Part, topic: str) -> Rights:
    return probe(admin, part.role, part.claims, topic)


def chat_of(admin: Connection[Any], user: UUID, collection: UUID) -> UUID:
    row = admin.execute(
        "select id from public.chats where created_by = %s and collection_id = %s", [user, collection]
    ).fetchone()
    assert row is not None
    chat: UUID = row[0]
    return chat


def everybody(admin: Connection[Any], topic: str) -> dict[str, Rights]:
    return {part.name: rights(admin, part, topic) for part in CAST}


def but(*parts: Part) -> dict[str, Rights]:
    """Those take part, the server's key may do anything, everybody else nothing."""
    return {part.name: TAKES_PART if part in parts else ALL if part == SERVICE else NONE for part in CAST}


def test_a_private_collection_is_followed_by_its_members(admin: Connection[Any], stage: Stage) -> None:
    assert everybody(admin, f"collection:{stage.private}") == but(OWNER, EDITOR, VIEWER)


def test_a_public_collection_is_followed_by_everybody_with_an_account(admin: Connection[Any], stage: Stage) -> None:
    assert everybody(admin, f"collection:{stage.public}") == but(*(part for part in PEOPLE if part != CLOSED))


def test_a_conversation_is_followed_by_those_it_is_shared_with(admin: Connection[Any], stage: Stage) -> None:
    chat = chat_of(admin, ALICE, stage.private)
    assert everybody(admin, f"chat:{chat}") == but(OWNER, VIEWER)


def test_a_conversation_on_a_public_collection_is_still_its_own(admin: Connection[Any], stage: Stage) -> None:
    assert everybody(admin, f"chat:{chat_of(admin, BOB, stage.public)}") == but(STRANGER)


@pytest.mark.parametrize(
    "topic",
    [
        "corpuscope:hints",
        "lobby",
        "",
        "chat:",
        "chat:*",
        "chat:0c0ffee0-0000-4000-8000-000000000001",
        "collection:0c0ffee0-0000-4000-8000-000000000001",
        "chat:' or true --",
        "presence:{chat}",
        "message:{message}",
        "chat:{private}",
        "collection:{chat}",
        "chat:{chat} ",
        "chat:{chat},lobby",
        "realtime:chat:{chat}",
        "CHAT:{chat}",
        "chat:{chat}\n",
    ],
)
def test_no_other_channel_is_for_people(admin: Connection[Any], stage: Stage, topic: str) -> None:
    chat = chat_of(admin, ALICE, stage.private)
    message = admin.execute("select id from public.messages where chat_id = %s", [chat]).fetchone()
    assert message is not None
    named = topic.replace("{chat}", str(chat)).replace("{private}", str(stage.private))
    assert everybody(admin, named.replace("{message}", str(message[0]))) == but()


def test_a_channel_is_as_open_as_the_rows_are(admin: Connection[Any], stage: Stage) -> None:
    """Over everything there is and everybody: who may read the row may follow it, nobody else."""
    for kind, table in (("chat", "public.chats"), ("collection", "public.collections")):
        ids = [row[0] for row in admin.execute(f"select id from {table}".encode())]
        assert len(ids) > 2
        for part in PEOPLE:
            with acting(admin, part):
                seen = {row[0] for row in admin.execute(f"select id from {table}".encode())}
            assert {one for one in ids if rights(admin, part, f"{kind}:{one}").hear} == seen, part.name


def test_a_forged_or_empty_claim_opens_nothing(admin: Connection[Any], stage: Stage) -> None:
    topic = f"collection:{stage.private}"
    assert probe(admin, "authenticated", {}, topic) == NONE
    assert probe(admin, "authenticated", {"sub": str(uuid4()), "role": "authenticated"}, topic) == NONE
    assert probe(admin, "anon", {"sub": str(ALICE), "role": "anon"}, topic) == NONE
    metadata = {"sub": str(BOB), "role": "authenticated", "user_metadata": {"sub": str(ALICE), "is_admin": True}}
    assert probe(admin, "authenticated", metadata, topic) == NONE


def test_nobody_reads_what_was_said_on_other_channels(admin: Connection[Any], stage: Stage) -> None:
    """What was broadcast stays in the table for days. To say that one is on one's own channel shows nothing else."""
    mine, hers = chat_of(admin, BOB, stage.public), chat_of(admin, ALICE, stage.private)
    with admin.transaction(force_rollback=True):
        for topic in (f"chat:{mine}", f"chat:{hers}", "corpuscope:hints"):
            admin.execute("select realtime.send('{\"text\": \"secret\"}', 'message', %s)", [topic])
        for claimed in (f"chat:{mine}", f"chat:{hers}", "corpuscope:hints", ""):
            admin.execute(
                "select set_config('realtime.topic', %s, true), set_config('request.jwt.claims', %s, true),"
                " set_config('role', 'authenticated', true)",
                [claimed, json.dumps(STRANGER.claims)],
            )
            seen = [row[0] for row in admin.execute("select topic from realtime.messages")]
            assert seen == ([claimed] if claimed == f"chat:{mine}" else [])
            admin.execute("set local role none")


def test_who_may_not_see_it_any_more_is_not_let_in_again(admin: Connection[Any], stage: Stage) -> None:
    topic = f"chat:{chat_of(admin, ALICE, stage.private)}"
    with admin.transaction(force_rollback=True):
        admin.execute("delete from public.chat_members where user_id = %s", [VIEWER.user])
        assert rights(admin, VIEWER, topic) == NONE
        assert rights(admin, OWNER, topic) == TAKES_PART
    with admin.transaction(force_rollback=True):
        admin.execute("delete from public.collection_members where user_id = %s", [VIEWER.user])
        assert rights(admin, VIEWER, topic) == NONE


def test_guests_and_strangers_hear_of_public_collections_alone(admin: Connection[Any], stage: Stage) -> None:
    for part in (GUEST, STRANGER, ANON):
        assert not rights(admin, part, f"collection:{stage.private}").hear
    assert rights(admin, GUEST, f"collection:{stage.public}").hear
