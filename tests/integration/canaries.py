"""People with a word of their own in every table and file: whoever reads another's word was shown too much."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from rag.auth.sessions import Session, open_session
from rag.store.database import Database, connect
from tests.integration.library import Library
from tests.integration.townsfolk import open_account

#: A word of every document, so that a search for it would find everybody's.
SHARED_WORD = "shaft"

_PLANT = """
update public.collections set name = 'Mine of {w}', description = '{w}' where id = '{c}';
update public.documents set title = 'On {w}' where id = '{d}';
insert into public.document_files values ('{d}', 0, convert_to('{w}', 'UTF8'));
insert into public.span_marks (document_id, collection_id, start_char, end_char, kind, tag)
    values ('{d}', '{c}', 0, 9, 'tag', '{w}');
insert into public.failed_jobs (queue, message, collection_id, document_id, reason, attempts)
    values ('ingest', '{{}}', '{c}', '{d}', 'The {w} fell ill.', 1);
insert into public.retrieval_profiles (collection_id, name, settings) values ('{c}', '{w}', '{{}}');
with made as (
    insert into public.evaluation_sets (collection_id, name, description) values ('{c}', '{w}', '{w}') returning id
), question as (
    insert into public.questions (set_id, collection_id, text, external_id)
    select id, '{c}', 'Where does the {w} sing?', '{w}' from made returning id
)
insert into public.judgements (question_id, collection_id, document_id, text_revision, start_char, end_char, grade)
    select id, '{c}', '{d}', 1, 0, 9, 1 from question;
insert into public.question_drafts (set_id, collection_id, wanted, state, reason, created_by)
    select id, collection_id, 5, 'failed', 'The {w} was hoarse.', '{u}' from public.evaluation_sets
    where collection_id = '{c}';
insert into public.evaluation_runs (set_id, collection_id, profile, profile_name, model, total, state, reason)
    select id, collection_id, '{{}}', '{w}', '{w}', 1, 'failed', 'The {w} was not found.' from public.evaluation_sets
    where collection_id = '{c}';
insert into public.evaluation_results (run_id, question_id, hits, latency_ms)
    select r.id, q.id, '[{{"d": "{w}"}}]', 1 from public.evaluation_runs r join public.questions q using (set_id)
    where r.collection_id = '{c}';
insert into corpuscope.limits (scope, subject, files) values ('collection', '{c}', 1000);
with chat as (
    insert into public.chats (collection_id, title, created_by) values ('{c}', 'Talk of {w}', '{u}') returning id
), question as (
    insert into public.messages (chat_id, position, role, content)
    select id, 1, 'user', 'Where is the {w}?' from chat returning id, chat_id
), answer as (
    insert into public.messages (chat_id, parent_id, position, role, phase, content, kind)
    select chat_id, id, 2, 'assistant', 'complete', 'The {w} is here. [1]', 'extractive' from question returning id
), passage as (
    insert into public.passages
        (message_id, number, document_id, document_name, text_revision, start_char, end_char, text)
    select id, 1, '{d}', '{w}.txt', 1, 0, 9, 'the {w}' from answer returning message_id
)
insert into public.citations (message_id, ordinal, number, start_char, end_char, quote)
    select message_id, 1, 1, 0, 9, 'the {w}' from passage;
with chat as (
    insert into public.chats (collection_id, title, created_by) values ('{c}', 'More of {w}', '{u}') returning id
), question as (
    insert into public.messages (chat_id, position, role, content)
    select id, 1, 'user', 'And now the {w}?' from chat returning id, chat_id
)
insert into public.messages (chat_id, parent_id, position, role, phase)
    select chat_id, id, 2, 'assistant', 'generating' from question;
"""


@dataclass
class Person:
    """Somebody, their word, and what of theirs an address can name."""

    number: int
    user: UUID
    word: str
    collection: UUID
    document: UUID
    chats: list[UUID]
    #: A set of questions, and the one in it.
    questions: int
    question: int
    #: An answer that is being written while the others look around.
    answer: UUID
    sessions: list[tuple[str, Session]] = field(default_factory=list)

    @property
    def claims(self) -> dict[str, str]:
        return {"sub": str(self.user), "role": "authenticated"}


def plant(database: Database, number: int, sessions: int) -> Person:
    """An account with its word everywhere, signed in that many times."""
    word = f"kanarie{number:02}{secrets.token_hex(4)}"
    user = open_account(database, f"{word}@example.org")
    library = Library(
        database, user, {f"{word}.txt": f"The {SHARED_WORD} of the mine hides {word}, a bird that sings."}
    )
    with connect(database.owner_dsn) as conn:
        found = conn.execute(
            "select id from public.documents where collection_id = %s", [library.collection]
        ).fetchone()
        assert found is not None
        statement = _PLANT.format(w=word, c=library.collection, d=found[0], u=user)
        conn.execute(statement.encode())
        conn.execute("update public.documents set stage = 'ready' where id = %s", [found[0]])
        chats = conn.execute("select id from public.chats where created_by = %s order by title desc", [user]).fetchall()
        answer = conn.execute(
            "select m.id from public.messages m join public.chats c on c.id = m.chat_id"
            " where c.created_by = %s and m.phase = 'generating'",
            [user],
        ).fetchone()
        assert answer is not None
        asked = conn.execute(
            "select set_id, id from public.questions where collection_id = %s", [library.collection]
        ).fetchone()
        assert asked is not None
    with database.as_accounts() as conn:
        opened = [
            open_session(conn, user, "password", device=word, address="192.0.2.7", lasts=timedelta(days=1))
            for _ in range(sessions)
        ]
    return Person(
        number,
        user,
        word,
        library.collection,
        found[0],
        [row[0] for row in chats],
        asked[0],
        asked[1],
        answer[0],
        opened,
    )


def write_on(database: Database, people: list[Person], seq: int) -> None:
    """A piece of everybody's answer at the same moment; it is announced to all who listen."""
    with database.as_worker() as conn:
        for person in people:
            conn.execute(
                "insert into public.message_deltas (message_id, attempt, seq, text) values (%s, 0, %s, %s)",
                [person.answer, seq, f" {person.word} {seq}"],
            )


def finish(database: Database, people: list[Person]) -> None:
    """The end of everybody's answer."""
    with database.as_worker() as conn:
        for person in people:
            conn.execute(
                "update public.messages set phase = 'complete', kind = 'model', content = %s where id = %s",
                [f"At last {person.word}", person.answer],
            )


def strangers_in(data: bytes, person: Person, people: list[Person]) -> set[int]:
    """The numbers of the others whose words are in there."""
    return {other.number for other in people if other is not person and other.word.encode() in data}
