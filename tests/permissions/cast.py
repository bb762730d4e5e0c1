"""Who tries what, and the database they try it on: every part has rows of its own, and every table has rows.

Alice owns a private and a public collection. Ed edits both, Vera views them, Clara owned them with her until her
account was closed. Alice shares her conversations with Vera and with Clara. Bob is somebody else with a collection of
his own; Gus is a guest; Ada is an administrator and in no collection.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.store.database import Database, connect


@dataclass(frozen=True)
class Part:
    """A column of the matrix: a database role, and for ``authenticated`` the person whose claims it carries."""

    name: str
    role: str = "authenticated"
    user: UUID | None = None
    is_guest: bool = False

    @property
    def claims(self) -> dict[str, Any]:
        if self.user is None:
            return {}
        return {"sub": str(self.user), "role": self.role, "is_anonymous": self.is_guest}


def _person(letter: str) -> UUID:
    return UUID(f"{letter * 8}-0000-4000-8000-00000000000{'abcdef'.index(letter) + 1}")


ALICE, BOB, VERA, ED, CLARA, ADA = map(_person, "abcdef")
GUS = UUID("99999999-0000-4000-8000-000000000009")

OWNER, EDITOR, VIEWER = Part("owner", user=ALICE), Part("editor", user=ED), Part("viewer", user=VERA)
STRANGER, GUEST = Part("stranger", user=BOB), Part("guest", user=GUS, is_guest=True)
CLOSED, ADMINISTRATOR = Part("closed account", user=CLARA), Part("administrator", user=ADA)
ANON = Part("anon", "anon")
WORKER, ACCOUNTS = Part("corpuscope_worker", "corpuscope_worker"), Part("corpuscope_accounts", "corpuscope_accounts")
SERVICE = Part("service_role", "service_role")
PEOPLE = (OWNER, EDITOR, VIEWER, STRANGER, GUEST, CLOSED, ADMINISTRATOR)
CAST = (*PEOPLE, ANON, WORKER, ACCOUNTS, SERVICE)
#: Those who have nothing to look for in Alice's private collection.
OUTSIDERS = (STRANGER, GUEST, CLOSED, ADMINISTRATOR)

_ACCOUNTS = f"""
select corpuscope.register_model('local', 'canary', 3, 256, '', '');
select corpuscope.add_person('alice@example.org', 'Alice', '$argon2$alice', id => '{ALICE}');
select corpuscope.add_person('bob@example.org', 'Bob', '$argon2$bob', id => '{BOB}');
select corpuscope.add_person('vera@example.org', 'Vera', '$argon2$vera', id => '{VERA}');
select corpuscope.add_person('ed@example.org', 'Ed', '$argon2$ed', id => '{ED}');
select corpuscope.add_person('clara@example.org', 'Clara', '$argon2$clara', id => '{CLARA}');
select corpuscope.add_person('ada@example.org', 'Ada', '$argon2$ada', as_administrator => true, id => '{ADA}');
select corpuscope.add_person(null, as_guest => true, id => '{GUS}');
insert into corpuscope.sessions (user_id, kind, token_hash, expires_at)
    select user_id, case when is_guest then 'guest' else 'password' end, sha256(user_id::text::bytea),
           now() + interval '1 day'
    from corpuscope.people;
insert into corpuscope.project_sessions (session_id, tokens, renew_at, expires_at)
    select id, decode(repeat('ca', 40), 'hex'), now() + interval '1 hour', now() + interval '1 day'
    from corpuscope.sessions;
insert into corpuscope.sign_in_flows (id_hash, state, expires_at)
    values (sha256('canary'), decode(repeat('ca', 40), 'hex'), now() + interval '1 day');
insert into corpuscope.invitations (token_hash, email, invited_by)
    values (sha256('canary'), 'canary@example.org', '{ADA}');
insert into corpuscope.password_resets (token_hash, user_id, created_by) values (sha256('canary'), '{ALICE}', '{ADA}');
insert into corpuscope.throttles (key, failures) values (sha256('canary'), 3);
insert into corpuscope.limits (scope, subject, files) values ('person', '{ALICE}', 1000);
insert into corpuscope.workers (id, host, pid, state, detail) values (gen_random_uuid(), 'canary', 1, 'idle', 'canary');
insert into corpuscope.job_attempts (queue, msg_id, last_error) values ('ingest', 1, 'canary');
select corpuscope.send_broadcasts();
insert into corpuscope.sent_broadcasts (key, at) values ('canary', now());
insert into corpuscope.loose_objects (object, due_at) values ('canary', 'infinity');
select corpuscope.note_edge_run(gen_random_uuid());
"""

#: A row in every table that belongs to a collection.
_FILL = """
insert into public.documents (collection_id, name, size, sha256, text_revision, created_by)
    select id, 'canary.txt', 6, sha256('canary'), 0, created_by from public.collections where id = '{c}';
insert into public.document_files select id, 0, 'canary' from public.documents where collection_id = '{c}';
insert into corpuscope.original_moves (document_id, due_at, error)
    select id, 'infinity', 'canary' from public.documents where collection_id = '{c}';
insert into public.document_texts (document_id, revision, text)
    select id, 1, 'canary in a coal mine' from public.documents where collection_id = '{c}';
insert into public.index_documents (index_id, document_id, collection_id, text_revision)
    select i.id, d.id, d.collection_id, 1 from public.documents d join public.indexes i using (collection_id)
    where collection_id = '{c}';
insert into public.chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text, language)
    select index_id, document_id, collection_id, 0, 0, 21, 'canary in a coal mine', 'en' from public.index_documents
    where collection_id = '{c}';
select corpuscope.store_embeddings(array_agg(id), array_agg(content_hash), array_agg('[1,2,3]'::extensions.halfvec))
    from public.chunks where collection_id = '{c}';
select corpuscope.index_lexical(array_agg(id)) from public.chunks where collection_id = '{c}';
insert into public.span_marks (document_id, collection_id, start_char, end_char, kind, tag)
    select id, collection_id, 0, 6, 'tag', 'bird' from public.documents where collection_id = '{c}';
insert into public.failed_jobs (queue, message, collection_id, document_id, reason, attempts)
    select 'ingest', '{{}}', collection_id, id, 'canary', 1 from public.documents where collection_id = '{c}';
insert into public.retrieval_profiles (collection_id, name, settings, is_default)
    values ('{c}', 'canary', '{{}}', true);
insert into public.profile_defaults (collection_id, profile_id)
    select collection_id, id from public.retrieval_profiles where collection_id = '{c}';
insert into public.evaluation_sets (collection_id, name) values ('{c}', 'canary');
insert into public.questions (set_id, collection_id, text)
    select id, collection_id, 'Where is the canary?' from public.evaluation_sets where collection_id = '{c}';
insert into public.question_drafts (set_id, collection_id, wanted, reason)
    select id, collection_id, 5, 'canary' from public.evaluation_sets where collection_id = '{c}';
insert into public.judgements (question_id, collection_id, document_id, text_revision, start_char, end_char, grade)
    select q.id, q.collection_id, d.id, 1, 0, 6, 1 from public.questions q join public.documents d using (collection_id)
    where collection_id = '{c}';
insert into public.tunings (set_id, collection_id, index_id, profile, objective, budget, total, result)
    select s.id, s.collection_id, c.active_index_id, '{{}}', 'ndcg', 8000, 1, '{{"verdict": "canary"}}'
    from public.evaluation_sets s join public.collections c on c.id = s.collection_id where c.id = '{c}';
insert into public.evaluation_runs (set_id, collection_id, index_id, profile, model, total, reason)
    select s.id, s.collection_id, c.active_index_id, '{{}}', 'canary', 1, 'canary'
    from public.evaluation_sets s join public.collections c on c.id = s.collection_id where c.id = '{c}';
insert into public.evaluation_results (run_id, question_id, hits, latency_ms)
    select r.id, q.id, '[{{"d": "canary"}}]', 1 from public.evaluation_runs r join public.questions q using (set_id)
    where r.collection_id = '{c}';
insert into public.maps (collection_id, index_id, settings, state, points, drawn_at, reason)
    select id, active_index_id, '{{"neighbours": 15, "min_dist": 0.1}}', 'done', 1, now(), 'canary'
    from public.collections where id = '{c}';
insert into public.map_points (map_id, place, chunk_id, collection_id, document_id, x, y)
    select m.id, 0, e.chunk_id, e.collection_id, e.document_id, 7, 7
    from public.maps m join public.embeddings e using (index_id) where m.collection_id = '{c}';
insert into public.clusters
    (map_id, collection_id, cluster, coarsest, finest, x, y, points, words, label, sentence, chunk_id)
    select m.id, m.collection_id, 0, 1, 5, 1, 1, 1, '{{canary}}', 'canary', 'Where is the canary?', p.chunk_id
    from public.maps m join public.map_points p on p.map_id = m.id where m.collection_id = '{c}' limit 1;
insert into public.cluster_namings (map_id, collection_id, state, writer)
    select id, collection_id, 'done', 'canary' from public.maps where collection_id = '{c}';
insert into corpuscope.index_agreement (index_id, chunks, trust)
    select id, 1, 1 from public.indexes where collection_id = '{c}';
insert into corpuscope.limits (scope, subject, files) values ('collection', '{c}', 1000);
insert into corpuscope.lexical_garbage select index_id, -id from public.chunks where collection_id = '{c}';
select public.curate_spans('{c}', 'tag', array_agg(id), array_agg(0), array_agg(6), 'canary') from public.documents
    where collection_id = '{c}';
insert into corpuscope.act_documents
    select a.id, d.id, d.collection_id, false from public.curation_log a join public.documents d using (collection_id)
    where collection_id = '{c}';
insert into corpuscope.cut_marks
    select -id, document_id, start_char, end_char, 'tag', 'cut', created_by, created_at from public.span_marks
    where collection_id = '{c}' and by_acts;
insert into corpuscope.parked_documents (document_id, collection_id, stage, stage_at)
    select id, collection_id, stage, stage_at from public.documents where collection_id = '{c}';
insert into corpuscope.parked_chunks (id, index_id, document_id, text_revision, ordinal, start_char, end_char,
        heading_path, context, text, token_count, content_hash)
    select -id, index_id, document_id, 0, ordinal, start_char, end_char, heading_path, context, text, token_count,
        content_hash from public.chunks where collection_id = '{c}';
select public.save_scope('{c}', 'canary', array_agg(id), array_agg(0), array_agg(21)) from public.documents
    where collection_id = '{c}';
insert into public.health_checks (collection_id, index_id, reason)
    select collection_id, index_id, 'canary' from public.chunks where collection_id = '{c}';
insert into public.health_members (check_id, chunk_id, collection_id, shape)
    select h.id, k.id, k.collection_id, 0 from public.health_checks h join public.chunks k using (collection_id)
    where collection_id = '{c}';
insert into public.health_pairs (check_id, collection_id, shape_a, shape_b, score)
    select id, collection_id, 0, 1, 0.9 from public.health_checks where collection_id = '{c}';
insert into public.health_findings (check_id, collection_id, finding, document_id, chunk_id, value, note)
    select h.id, k.collection_id, 'outlier', k.document_id, k.id, 1, 'canary'
    from public.health_checks h join public.chunks k using (collection_id) where collection_id = '{c}';
insert into public.health_repeats (check_id, collection_id, repeat, document_id, text_revision, start_char, end_char)
    select h.id, k.collection_id, 0, k.document_id, 1, 0, 6
    from public.health_checks h join public.chunks k using (collection_id) where collection_id = '{c}';
insert into public.health_kept (collection_id, finding) values ('{c}', 'outlier');
insert into public.health_kept_spans (kept_id, collection_id, document_id, start_char, end_char)
    select k.id, k.collection_id, d.id, 0, 6 from public.health_kept k join public.documents d using (collection_id)
    where collection_id = '{c}';
"""

_SHARE = """
insert into public.collection_members (collection_id, user_id, role) values
    ('{c}', '{ed}', 'editor'), ('{c}', '{vera}', 'viewer'), ('{c}', '{clara}', 'owner');
select public.share_by_link('{c}', 'viewer', sha256('link {c}'));
select public.note_export('{c}', 'canary.csv', 1);
"""

_ANSWER = """
insert into public.message_deltas (message_id, attempt, seq, text)
    select id, 0, 1, 'canary' from public.messages where role = 'assistant';
insert into public.passages (message_id, number, document_id, document_name, text_revision, start_char, end_char, text)
    select m.id, 1, d.id, 'canary.txt', 1, 0, 6, 'canary'
    from public.messages m join public.chats h on h.id = m.chat_id join public.documents d using (collection_id)
    where m.role = 'assistant';
insert into public.citations (message_id, ordinal, number, start_char, end_char, quote)
    select message_id, 1, 1, 0, 6, 'canary' from public.passages;
insert into public.message_support (message_id, attempt, ordinal, start_char, end_char, cited, verdict, lexical)
    select message_id, 0, 1, 0, 6, '{1}', 'supported', 1 from public.passages;
insert into public.message_votes (message_id, user_id, vote, reason)
    select m.id, h.created_by, 1, 'canary' from public.messages m join public.chats h on h.id = m.chat_id
    where m.role = 'assistant';
insert into public.chat_presence (visit, chat_id, user_id) select gen_random_uuid(), id, created_by from public.chats;
insert into corpuscope.model_use (user_id, chat_id, model, requests)
    select created_by, id, 'canary', 1 from public.chats;
"""


@dataclass(frozen=True)
class Stage:
    """The collections of a seeded database."""

    private: UUID
    public: UUID
    bobs: UUID


def seed(database: Database) -> Stage:
    """Everybody's rows, and then Clara's account is closed."""
    with connect(database.owner_dsn) as conn, conn.transaction():
        conn.execute(_ACCOUNTS.encode())
        private, public = (_make_collection(conn, ALICE, name) for name in ("Private", "Public"))
        bobs = _make_collection(conn, BOB, "Bob's")
        for collection in (private, public):
            _speak_as(conn, ALICE)
            conn.execute(_SHARE.format(c=collection, ed=ED, vera=VERA, clara=CLARA).encode())
        conn.execute("update public.collections set is_public = true where id = %s", [public])
        chats = [(private, user) for user in (ALICE, ED, VERA, CLARA)]
        chats += [(public, user) for user in (ALICE, ED, VERA, CLARA, GUS, BOB, ADA)]
        for collection, user in chats:
            _chat(conn, collection, user)
        _share_chats(conn, private, public)
        _speak_as(conn, VERA)
        conn.execute("select public.note_export(%s, 'canary.csv', 1)", [private])
        conn.execute(_ANSWER.encode())
        _speak_as(conn, ADA)
        conn.execute("select public.set_account_open(%s, false)", [CLARA])
        conn.execute("select set_config('request.jwt.claims', '', true)")
    return Stage(private, public, bobs)


def _make_collection(conn: Connection[Any], owner: UUID, name: str) -> UUID:
    _speak_as(conn, owner)
    row = conn.execute("select public.create_collection(%s)", [name]).fetchone()
    assert row is not None
    conn.execute(_FILL.format(c=row[0]).encode())
    made: UUID = row[0]
    return made


def _chat(conn: Connection[Any], collection: UUID, user: UUID) -> None:
    _speak_as(conn, user)
    made = conn.execute(
        "insert into public.chats (collection_id, title, created_by) values (%s, 'canary', %s) returning id",
        [collection, user],
    ).fetchone()
    assert made is not None
    conn.execute("select public.ask(%s, 'Where is the canary?')", [made[0]])


def _share_chats(conn: Connection[Any], private: UUID, public: UUID) -> None:
    """Alice's two, each of which asks her other collection too."""
    _speak_as(conn, ALICE)
    own = conn.execute("select id, collection_id from public.chats where created_by = %s", [ALICE]).fetchall()
    for chat, home in own:
        conn.execute("select public.share_chat(%s, %s)", [chat, [VERA, CLARA]])
        conn.execute("select public.set_chat_collections(%s, %s)", [chat, [public if home == private else private]])


def _speak_as(conn: Connection[Any], user: UUID) -> None:
    claims = json.dumps({"sub": str(user), "role": "authenticated"})
    conn.execute("select set_config('request.jwt.claims', %s, true)", [claims])


class RollBack(Exception):
    """Ends a transaction without keeping it."""


@contextmanager
def acting(conn: Connection[Any], part: Part) -> Iterator[None]:
    """For the block, ``conn`` has the part's role and claims; what is done is undone at the end.

    ``conn`` is a superuser's: what it can do beyond the part is only to become itself again.
    """
    with conn.transaction(force_rollback=True):
        take_part(conn, part)
        yield


def take_part(conn: Connection[Any], part: Part) -> None:
    """Until the end of the transaction, or until another part is taken."""
    conn.execute(
        "select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)",
        [json.dumps(part.claims) if part.claims else "", part.role],
    )
