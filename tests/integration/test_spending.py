"""What chat models cost is counted by conversation, person and day, and caps are kept in words."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection, errors

from rag.chat.chat_records import Usage
from rag.chat.chats import create_chat
from rag.chat.spending import Cap, check, list_model_use, read_caps, record, say_amount
from rag.corpus.collections import create_collection
from rag.errors import LimitReached, NotAllowed
from rag.settings import Settings
from rag.store.database import Database, connect

MODEL = "gpt"


def settings(**caps: Any) -> Settings:
    return Settings(_env_file=None, chat_model=MODEL, **caps)


@pytest.fixture
def chat(database: Database, alice: UUID) -> UUID:
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'canary', 8, 256, '', '')")
    with database.as_user(alice) as conn:
        return create_chat(conn, create_collection(conn, "Pumps"))


@pytest.fixture
def administrator(database: Database) -> UUID:
    with connect(database.owner_dsn) as conn:
        row = conn.execute(
            "select corpuscope.add_person('ada@example.org', 'Ada', '$argon2$ada', as_administrator => true)"
        ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def spend(
    database: Database, chat: UUID | None, person: UUID, read: int, written: int, model: str = MODEL, **caps: Any
) -> None:
    with database.as_worker() as conn:
        record(conn, settings(**caps), chat, person, model, Usage(read, written, exact=True))


def refusal(database: Database, chat: UUID | None, person: UUID, model: str = MODEL, **caps: Any) -> LimitReached:
    with database.as_worker() as conn, pytest.raises(LimitReached) as caught:
        check(conn, settings(**caps), chat, person, model)
    return caught.value


def may(database: Database, chat: UUID | None, person: UUID, model: str = MODEL, **caps: Any) -> None:
    with database.as_worker() as conn:
        check(conn, settings(**caps), chat, person, model)


def test_without_caps_everything_goes(database: Database, chat: UUID, alice: UUID) -> None:
    spend(database, chat, alice, 10**8, 10**8)
    may(database, chat, alice)


def test_a_conversation_is_capped_whoever_asks(database: Database, chat: UUID, alice: UUID, bob: UUID) -> None:
    spend(database, chat, alice, 700, 100)
    may(database, chat, bob, chat_tokens_per_conversation=1000)
    spend(database, chat, bob, 150, 50)
    error = refusal(database, chat, alice, chat_tokens_per_conversation=1000)
    assert str(error).startswith("This conversation has used 1,000 of 1,000 tokens")
    assert "CHAT_TOKENS_PER_CONVERSATION" in error.hint
    may(database, uuid4(), alice, chat_tokens_per_conversation=1000)


def test_a_conversation_s_cap_outlasts_the_day_and_a_person_s_does_not(
    database: Database, chat: UUID, alice: UUID
) -> None:
    spend(database, chat, alice, 900, 100)
    with connect(database.owner_dsn) as conn:
        conn.execute("update corpuscope.model_use set day = day - 1")
    may(database, chat, alice, chat_tokens_per_day=1000, chat_tokens_per_day_in_all=1000)
    refusal(database, chat, alice, chat_tokens_per_conversation=1000)


def test_a_person_is_capped_over_all_conversations_and_beside_them(
    database: Database, chat: UUID, alice: UUID, bob: UUID
) -> None:
    spend(database, chat, alice, 300, 0)
    spend(database, uuid4(), alice, 300, 0)
    spend(database, None, alice, 300, 100)
    error = refusal(database, None, alice, chat_tokens_per_day=1000)
    assert "has today used 1,000 of 1,000 tokens" in str(error)
    may(database, chat, bob, chat_tokens_per_day=1000)


def test_everybody_together_is_capped(database: Database, chat: UUID, alice: UUID, bob: UUID) -> None:
    spend(database, chat, alice, 600, 0)
    spend(database, chat, bob, 0, 400)
    error = refusal(database, uuid4(), uuid4(), chat_tokens_per_day_in_all=1000)
    assert str(error).startswith("Everybody together has today")


def test_money_is_counted_by_each_model_s_price(database: Database, chat: UUID, alice: UUID) -> None:
    caps: dict[str, Any] = {"chat_prices": "gpt=1/10, *=100/100", "chat_cost_per_day": 3.0}
    spend(database, chat, alice, 1_000_000, 100_000, **caps)
    may(database, chat, alice, **caps)
    spend(database, chat, alice, 5_000, 5_000, model="another", **caps)
    error = refusal(database, chat, alice, **caps)
    assert "3.00 of 3.00 in money" in str(error)


def test_a_model_without_a_price_can_t_be_asked_where_money_is_capped(
    database: Database, chat: UUID, alice: UUID
) -> None:
    caps: dict[str, Any] = {"chat_prices": "gpt=1/10", "chat_cost_per_conversation": 5.0}
    may(database, chat, alice, **caps)
    error = refusal(database, chat, alice, model="gpt-large", **caps)
    assert "“gpt-large” has no price" in str(error)


def test_people_read_their_own_and_their_conversations_caps(
    database: Database, chat: UUID, alice: UUID, bob: UUID
) -> None:
    spend(database, chat, alice, 250, 0)
    caps = settings(chat_tokens_per_conversation=1000, chat_tokens_per_day=500, chat_tokens_per_day_in_all=10)
    with database.as_user(alice) as conn:
        assert [say_amount(cap) for cap in read_caps(conn, caps, chat)] == ["250 of 500 tokens", "250 of 1,000 tokens"]
        assert read_caps(conn, settings(), chat) == []
    with database.as_user(bob) as conn:
        (own,) = read_caps(conn, caps, chat)
    assert own == Cap("person", "tokens", 0, 500, "CHAT_TOKENS_PER_DAY")


def test_nothing_is_given_back_for_a_deleted_chat(database: Database, chat: UUID, alice: UUID) -> None:
    spend(database, chat, alice, 500, 0)
    with database.as_user(alice) as conn:
        conn.execute("delete from public.chats where id = %s", [chat])
    refusal(database, None, alice, chat_tokens_per_day=500)


def test_what_was_estimated_is_told_apart_and_nothing_is_not_counted(
    database: Database, administrator: UUID, chat: UUID, alice: UUID
) -> None:
    with database.as_worker() as conn:
        record(conn, settings(), chat, alice, MODEL, Usage(10, 5, exact=False))
        record(conn, settings(), chat, alice, MODEL, Usage(100, 50, exact=True))
        record(conn, settings(), chat, alice, "refused", Usage(0, 0, exact=True))
    with database.as_user(administrator) as conn:
        (use,) = list_model_use(conn)
    assert (use.model, use.requests, use.prompt_tokens, use.completion_tokens) == (MODEL, 2, 110, 55)
    assert use.estimated_tokens == 15


def test_only_administrators_read_what_everybody_used(database: Database, alice: UUID) -> None:
    with pytest.raises(NotAllowed), database.as_user(alice) as conn:
        list_model_use(conn)


def test_people_can_t_count_for_others(as_user: Any, alice: UUID, bob: UUID) -> None:
    conn: Connection[Any]
    with pytest.raises(NotAllowed), as_user(alice) as conn:
        conn.execute("select corpuscope.record_model_use(%s, null, 'x', 1, 1, true, 1)", [bob])
    with pytest.raises((NotAllowed, errors.InsufficientPrivilege)), as_user(alice) as conn:
        conn.execute("select * from corpuscope.model_use")
