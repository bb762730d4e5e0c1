"""Reading what was broadcast, and doing what leads to broadcasts, for tests of both sides."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from rag.chat.chats import ask, create_chat
from rag.corpus.collections import create_collection
from rag.store.database import Database, connect
from rag.work.broadcasting import send_broadcasts
from tests.conftest import ALICE


@dataclass(frozen=True)
class Said:
    """One broadcast."""

    topic: str
    event: str
    payload: Mapping[str, Any]


class Studio:
    """A collection and a conversation of somebody's whose answers the test writes, and the broadcasts about them."""

    def __init__(self, database: Database, user: UUID = ALICE) -> None:
        self.database = database
        self.user = user
        with database.as_worker() as conn:
            conn.execute("select corpuscope.register_model('local', 'hash', 3, 256, '', '')")
        with database.as_user(self.user) as conn:
            self.collection = create_collection(conn, f"Studio {time.monotonic_ns()}")
            self.chat = create_chat(conn, self.collection)

    def run(self, statement: str, *values: Any) -> None:
        """Do something as the owner of the tables."""
        with connect(self.database.owner_dsn) as conn:
            conn.execute(statement.encode(), values)

    def value(self, query: str, *values: Any) -> Any:
        with connect(self.database.owner_dsn) as conn:
            row = conn.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def switch_on(self) -> None:
        """As the first look of a worker does."""
        self.send()
        self.run("delete from realtime.messages")

    def send(self, *, rounds: int = 1) -> int:
        """Do a worker's rounds without the time between them; how many broadcasts."""
        sent = 0
        for _ in range(rounds):
            self.run("update corpuscope.broadcasting set sent_at = '-infinity'")
            self.run("update corpuscope.sent_broadcasts set at = at - interval '2 s'")
            with self.database.as_worker() as conn:
                sent += send_broadcasts(conn)
        return sent

    def said(self, topic: str | None = None, event: str | None = None) -> list[Said]:
        """All broadcasts in their order, those of one topic or event."""
        with connect(self.database.owner_dsn) as conn:
            rows = conn.execute(
                "select topic, event, payload from realtime.messages where extension = 'broadcast' and private"
                " and topic = coalesce(%s, topic) and event = coalesce(%s, event) order by inserted_at, ctid",
                [topic, event],
            ).fetchall()
        return [Said(*row) for row in rows]

    def messages(self) -> list[Mapping[str, Any]]:
        """What was said of messages of the conversation."""
        return [one.payload for one in self.said(f"chat:{self.chat}", "message")]

    def ask(self, question: str = "How deep is the lake?") -> UUID:
        """The answer to come."""
        with self.database.as_user(self.user) as conn:
            return ask(conn, self.chat, question)

    def begin(self, answer: UUID) -> None:
        self.phase(answer, "generating")

    def phase(self, answer: UUID, phase: str, content: str = "", detail: str = "") -> None:
        self.run(
            "update public.messages set phase = %s, content = %s, phases = phases || jsonb_build_object("
            "'phase', %s::text, 'detail', %s::text) where id = %s",
            *(phase, content, phase, detail, answer),
        )

    def write(self, answer: UUID, text: str) -> None:
        """A piece of the answer's text."""
        self.run(
            "insert into public.message_deltas (message_id, attempt, seq, text) select m.id, m.attempt,"
            " coalesce((select max(d.seq) from public.message_deltas d where d.message_id = m.id"
            " and d.attempt = m.attempt), 0) + 1, %s from public.messages m where m.id = %s",
            *(text, answer),
        )

    def share(self, person: UUID) -> None:
        """Let somebody view the collection and take part in the conversation."""
        self.run(
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')"
            " on conflict do nothing",
            *(self.collection, person),
        )
        self.run(
            "insert into public.chat_members (chat_id, user_id) values (%s, %s) on conflict do nothing",
            *(self.chat, person),
        )

    def add_document(self, stage: str = "stored") -> UUID:
        made = uuid4()
        self.run(
            "insert into public.documents (id, collection_id, name, size, sha256, stage, created_by)"
            " values (%s, %s, 'a.txt', 1, sha256(%s::text::bytea), %s, %s)",
            *(made, self.collection, made, stage, self.user),
        )
        return made
