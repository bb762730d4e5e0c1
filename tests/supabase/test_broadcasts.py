"""What the database broadcasts: what is so, no more often than is allowed, and nothing where nobody asked for it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from rag.chat.live_updates import chosen_way, hint_source, is_broadcasting
from rag.settings import Settings
from rag.store.database import Database
from rag.work.broadcasting import keep_broadcasting, send_broadcasts
from rag.work.worker import run_worker
from tests.conftest import ALICE, BOB
from tests.integration.workshop import CountingEmbedder
from tests.supabase.broadcasts import Studio
from tests.supabase.realtime_stub import wait_until

PROJECT = {
    "supabase_url": "https://project.example.org",
    "supabase_secret_key": "sb_secret_x",
    "database_url": "postgresql://h/db",
}


@pytest.fixture
def studio(database: Database) -> Studio:
    made = Studio(database)
    made.switch_on()
    return made


def test_where_nobody_sends_nothing_is_noted(database: Database) -> None:
    quiet = Studio(database)
    answer = quiet.ask()
    quiet.begin(answer)
    quiet.write(answer, "Deep.")
    assert quiet.value("select count(*) from corpuscope.due_broadcasts") == 0
    quiet.switch_on()
    quiet.write(answer, " Very.")
    assert quiet.value("select count(*) from corpuscope.due_broadcasts") == 1
    quiet.run("update corpuscope.broadcasting set until = now() - interval '1 s'")
    quiet.write(answer, " Really.")
    assert quiet.value("select count(*) from corpuscope.due_broadcasts") == 1


def test_an_answer_is_said_as_it_grows_without_gap_or_repeat(studio: Studio) -> None:
    answer = studio.ask("How deep is the lake?")
    studio.send()
    question, queued = studio.messages()
    assert (question["role"], question["content"], question["name"]) == ("user", "How deep is the lake?", "alice")
    assert (queued["message"], queued["phase"], queued["parent"]) == (str(answer), "queued", question["message"])
    shown = ""
    studio.phase(answer, "generating", detail="Writing.")
    for pieces in (["Up to ", "40 m"], [" 🦆"], ["."]):
        for piece in pieces:
            studio.write(answer, piece)
        studio.send()
        told = studio.messages()[-1]
        assert told["start"] == len(shown)
        shown += told["text"]
        assert told["detail"] == "Writing."
    assert shown == "Up to 40 m 🦆."
    studio.phase(answer, "complete", "Up to 40 m 🦆 [1].")
    studio.send()
    last = studio.messages()[-1]
    assert (last["phase"], last["content"]) == ("complete", "Up to 40 m 🦆 [1].")
    assert "text" not in last


def test_another_attempt_begins_at_the_first_character(studio: Studio) -> None:
    answer = studio.ask()
    studio.begin(answer)
    studio.write(answer, "Wrong")
    studio.send()
    studio.run("update public.messages set attempt = attempt + 1 where id = %s", answer)
    studio.write(answer, "Right")
    studio.send()
    first, second = studio.messages()[-2:]
    assert (first["start"], first["text"]) == (0, "Wrong")
    assert (second["start"], second["text"], second["attempt"]) == (0, "Right", first["attempt"] + 1)


def test_what_is_rolled_back_is_not_said(studio: Studio) -> None:
    answer = studio.ask()
    studio.send(rounds=2)
    before = len(studio.said())
    with studio.database.as_worker() as conn:
        conn.execute("insert into public.message_deltas values (%s, 0, 1, 'never')", [answer])
        conn.rollback()
    assert studio.send() == 0
    assert len(studio.said()) == before


def test_a_storm_stays_within_what_the_project_allows(studio: Studio) -> None:
    """Many more changes than may be said: three workers at their pace, the smallest plan's hundred a second."""
    studio.send(rounds=3)
    chats = [Studio(studio.database) for _ in range(30)]
    answers = [(one, one.ask()) for one in chats]
    for one, answer in answers:
        one.begin(answer)
    stop = threading.Event()
    workers = [threading.Thread(target=keep_broadcasting, args=(studio.database, stop)) for _ in range(3)]
    studio.run("delete from realtime.messages")
    began = time.monotonic()
    for thread in workers:
        thread.start()
    for _ in range(8):
        for one, answer in answers:
            one.write(answer, "word ")
    wait_until(lambda: studio.value("select count(*) from corpuscope.due_broadcasts") == 0)
    stop.set()
    for thread in workers:
        thread.join(5)
    took = time.monotonic() - began
    busiest = studio.value(
        "select max(n) from (select count(*) as n from realtime.messages group by date_trunc('second', inserted_at)) s"
    )
    assert len(studio.said()) / max(took, 1) <= 100
    assert busiest <= 105  # seconds are cut anywhere: a round may fall on either side
    for one, answer in answers:
        told = [said["text"] for said in one.messages() if said["message"] == str(answer) and "text" in said]
        assert "".join(told) == "word " * 8


def test_hints_of_all_that_changed_are_one_broadcast(studio: Studio) -> None:
    answer = studio.ask()
    studio.add_document()
    studio.send()
    [hints] = studio.said("corpuscope:hints")
    assert set(hints.payload["keys"]) >= {
        f"message:{answer}",
        f"chat:{studio.chat}",
        f"documents:{studio.collection}",
    }


def test_documents_are_counted_once_a_second_however_often_they_change(studio: Studio) -> None:
    studio.send(rounds=3)
    studio.run("delete from realtime.messages")
    document = studio.add_document()
    with studio.database.as_worker() as conn:
        send_broadcasts(conn)
    for stage in ("parsing", "chunking", "embedding"):
        studio.run("update public.documents set stage = %s where id = %s", stage, document)
        studio.run("update corpuscope.broadcasting set sent_at = '-infinity'")
        with studio.database.as_worker() as conn:
            send_broadcasts(conn)
    told = [said.payload["stages"] for said in studio.said(f"collection:{studio.collection}", "documents")]
    assert told == [{"stored": 1}]
    studio.send()
    told = [said.payload["stages"] for said in studio.said(f"collection:{studio.collection}", "documents")]
    assert told == [{"stored": 1}, {"embedding": 1}]


def test_jobs_are_followed_from_their_queue_to_their_end(studio: Studio) -> None:
    studio.run(
        "insert into public.maps (collection_id, index_id, settings) select id, active_index_id, '{}'"
        " from public.collections where id = %s",
        studio.collection,
    )
    studio.send()
    studio.run("update public.maps set state = 'running', phase = 'layout', done = 3, total = 9")
    studio.send()
    studio.run("update public.maps set state = 'done', phase = null, done = 9, finished_at = now()")
    studio.send()
    told = [said.payload["jobs"] for said in studio.said(f"collection:{studio.collection}", "jobs")]
    states = [[(job["kind"], job["state"], job["done"], job.get("phase")) for job in jobs] for jobs in told]
    assert states[-3:] == [
        [("map", "queued", 0, None)],
        [("map", "running", 3, "layout")],
        [("map", "done", 9, None)],
    ]


def test_who_has_it_open_is_said_by_name_once_each(studio: Studio) -> None:
    studio.share(BOB)
    for person, visits in ((ALICE, 2), (BOB, 1)):
        for _ in range(visits):
            with studio.database.as_user(person) as conn:
                conn.execute("select public.note_presence(%s, gen_random_uuid())", [studio.chat])
    studio.send()
    told = studio.said(f"chat:{studio.chat}", "presence")[-1].payload
    assert (told["count"], told["names"]) == (2, ["alice", "bob"])


def lose(studio: Studio, way: str) -> None:
    """Bob may not see the conversation any more."""
    values = {"chat": studio.chat, "collection": studio.collection, "bob": BOB}
    statements = {
        "unshared": "delete from public.chat_members where user_id = '{bob}'",
        "no member": "delete from public.collection_members where user_id = '{bob}'",
        "closed": "update corpuscope.people set disabled_at = now() where user_id = '{bob}'",
        "not public": "update public.collections set is_public = false where id = '{collection}'",
    }
    studio.run(statements[way].format(**values))


@pytest.mark.parametrize("way", ["unshared", "no member", "closed", "not public"])
def test_who_lost_their_access_hears_no_more_words(studio: Studio, way: str) -> None:
    """Realtime lets them listen until their token is over; it is not asked about each message."""
    studio.run("select corpuscope.add_person('bob@example.org', 'Bob', id => %s)", BOB)
    studio.share(BOB)
    studio.run("update public.collections set is_public = true where id = %s", studio.collection)
    answer = studio.ask()
    studio.begin(answer)
    studio.write(answer, "Everybody may hear this.")
    studio.send()
    assert studio.messages()[-1]["text"] == "Everybody may hear this."
    lose(studio, way)
    studio.run("delete from realtime.messages")
    studio.write(answer, "SECRET")
    studio.phase(answer, "generating", detail="SECRET")
    studio.run("update public.chats set title = 'SECRET' where id = %s", studio.chat)
    studio.send(rounds=2)
    studio.phase(answer, "complete", "SECRET")
    studio.ask("SECRET?")
    studio.send(rounds=2)
    assert "SECRET" not in str(studio.said())
    assert [told["phase"] for told in studio.messages() if told["message"] == str(answer)] == ["generating", "complete"]
    assert all(told["left_out"] for told in studio.messages())
    studio.run("update corpuscope.lost_access set until = now()")
    studio.run("update public.messages set content = 'Open again.' where id = %s", answer)
    studio.send()
    assert studio.messages()[-1]["content"] == "Open again."


def test_a_text_that_no_plan_takes_is_left_to_the_rows(studio: Studio) -> None:
    answer = studio.ask()
    studio.send()
    studio.phase(answer, "complete", "ä" * 150_000)
    studio.send()
    last = studio.messages()[-1]
    assert (last["phase"], last["left_out"], "content" in last) == ("complete", True, False)
    assert studio.value("select max(octet_length(payload::text)) from realtime.messages") < 256_000


def test_a_worker_broadcasts_where_the_settings_say_so(database: Database) -> None:
    chosen: list[tuple[dict[str, Any], bool]] = [
        ({}, False),
        ({**PROJECT, "live_updates": "listen"}, False),
        (PROJECT, True),
    ]
    for project, is_on in chosen:
        settings = Settings(_env_file=None, **project)
        stop = threading.Event()
        worker = threading.Thread(
            target=run_worker,
            args=(settings, database),
            kwargs={"stop": stop, "queues": (), "load_embedder": CountingEmbedder},
        )
        worker.start()
        time.sleep(1.0)
        stop.set()
        worker.join(20)
        with database.as_owner() as conn:
            assert conn.execute("select until > now() from corpuscope.broadcasting").fetchone() == (is_on,)


@pytest.mark.parametrize(
    ("chosen", "dsn", "way", "broadcasts"),
    [
        ({}, "postgresql://h/db", "listen", False),
        ({}, "postgresql://h:6543/db", "poll", False),
        ({**PROJECT, "database_url": ""}, "postgresql://h/db", "listen", False),
        (PROJECT, "postgresql://h:5432/db", "listen", True),
        (PROJECT, "postgresql://h:6543/db", "broadcast", True),
        ({**PROJECT, "live_updates": "broadcast"}, "postgresql://h/db", "broadcast", True),
        ({**PROJECT, "live_updates": "listen"}, "postgresql://h/db", "listen", False),
        ({**PROJECT, "live_updates": "poll"}, "postgresql://h/db", "poll", False),
    ],
)
def test_how_changes_are_heard_of_follows_from_settings_and_connection(
    chosen: dict[str, Any], dsn: str, way: str, broadcasts: bool
) -> None:
    settings = Settings(_env_file=None, **chosen)
    assert chosen_way(settings, Database(dsn)) == way
    assert is_broadcasting(settings) is broadcasts
    kinds = {"listen": "PostgresHints", "poll": "NoHints", "broadcast": "BroadcastHints"}
    assert type(hint_source(settings, Database(dsn))).__name__ == kinds[way]
