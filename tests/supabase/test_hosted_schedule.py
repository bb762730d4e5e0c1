"""When the Edge Function embed is called: the SQL of supabase/hosted, over stand-ins of pg_cron, pg_net and Vault.

The stand-ins record what they are told. That the hour comes, that a request is sent and that a secret is kept secret is
theirs, and can't be tried without a Supabase project.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg import Connection

from rag.doctor.schedule_checks import check_schedule
from rag.store.database import Database, connect
from rag.store.postgres import EmbeddedPostgres
from tests.integration.workshop import prose
from tests.standin_openai import StandInOpenAI
from tests.supabase.test_embed_function import SECRET, Shop, Trouble, function, settings_of

HOSTED = Path(__file__).resolve().parents[2] / "supabase" / "hosted"
URL = "https://abc.supabase.co"

_STAND_INS = """
create schema cron; create schema net; create schema vault;
grant usage on schema cron, net, vault to postgres;
create table cron.job (
    jobid bigint generated always as identity, jobname text unique, schedule text, command text,
    active boolean default true
);
create table cron.job_run_details (
    jobid bigint, status text, return_message text, start_time timestamptz, end_time timestamptz
);
create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as $$
    insert into cron.job (jobname, schedule, command) values ($1, $2, $3)
    on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command returning jobid
$$;
create function cron.unschedule(job_name text) returns boolean language sql as $$
    with gone as (delete from cron.job where jobname = $1 returning 1) select exists (select from gone)
$$;
create table net.calls (
    id bigint generated always as identity, url text, body jsonb, headers jsonb, timeout_milliseconds int
);
create function net.http_post(url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}',
    timeout_milliseconds int default 5000) returns bigint language sql as $$
    insert into net.calls (url, body, headers, timeout_milliseconds) values ($1, $2, $4, $5) returning id
$$;
create table vault.decrypted_secrets (name text, decrypted_secret text);
grant all on all tables in schema cron, net, vault to postgres;
grant usage on all sequences in schema cron, net to postgres;
"""


@pytest.fixture
def shop(database: Database, server: EmbeddedPostgres, alice: UUID) -> Shop:
    name = str(psycopg.conninfo.conninfo_to_dict(database.owner_dsn)["dbname"])
    with connect(server.dsn("supabase_admin", name)) as admin:
        admin.execute(_STAND_INS.encode())
    return Shop(database, settings_of(), alice)


@pytest.fixture
def owner(shop: Shop) -> Iterator[Connection[Any]]:
    with connect(shop.database.owner_dsn) as conn:
        yield conn


def switch_on(owner: Connection[Any], url: str = URL) -> None:
    owner.execute("truncate vault.decrypted_secrets")
    owner.execute(
        "insert into vault.decrypted_secrets values"
        " ('corpuscope_url', %s), ('corpuscope_embed_secret', %s), ('somebody else''s', 'y')",
        [url, SECRET],
    )
    run(owner, "embedding_on.sql")


def run(owner: Connection[Any], name: str) -> None:
    owner.execute((HOSTED / name).read_bytes())


def queue(shop: Shop, jobs: int) -> None:
    with shop.database.as_owner() as conn:
        conn.execute("select pgmq.purge_queue('embed')")
        conn.execute("select pgmq.send('embed', '{}') from generate_series(1, %s)", [jobs])


def wake(owner: Connection[Any]) -> int:
    """What pg_cron runs."""
    row = owner.execute("select command from cron.job where jobname = 'corpuscope-embed'").fetchone()
    assert row is not None
    woken = owner.execute(row[0].encode()).fetchone()
    assert woken is not None
    return int(woken[0])


def test_switching_on_twice_and_off_twice(owner: Connection[Any]) -> None:
    assert check_schedule(owner).state == "skipped"
    for _ in range(2):
        switch_on(owner)
        assert owner.execute("select jobname, schedule from cron.job order by jobname").fetchall() == [
            ("corpuscope-embed", "10 seconds"),
            ("corpuscope-embed-history", "23 * * * *"),
            ("corpuscope-embed-lost", "*/5 * * * *"),
        ]
    assert "pg_net" in check_schedule(owner).words  # the extensions themselves are not here
    for _ in range(2):
        run(owner, "embedding_off.sql")
        assert owner.execute("select count(*) from cron.job").fetchone() == (0,)
    assert owner.execute("select to_regproc('corpuscope.wake_embedding')").fetchone() == (None,)


def test_what_is_scheduled_can_be_run(owner: Connection[Any]) -> None:
    switch_on(owner)
    owner.execute(
        "insert into cron.job_run_details (jobid, end_time) select jobid, now() - age from cron.job,"
        " unnest(array [interval '1 hour', interval '2 days']) age where jobname = 'corpuscope-embed'"
    )
    for (command,) in owner.execute("select command from cron.job order by jobname").fetchall():
        owner.execute(command.encode())
    assert owner.execute("select count(*) from cron.job_run_details").fetchone() == (1,)


def test_without_its_secrets_it_is_not_switched_on(owner: Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="Vault lacks corpuscope_url"):
        run(owner, "embedding_on.sql")
    assert owner.execute("select count(*) from cron.job").fetchone() == (0,)


def test_an_empty_queue_calls_nobody(shop: Shop, owner: Connection[Any]) -> None:
    switch_on(owner)
    assert wake(owner) == 0
    queue(shop, 5)
    owner.execute("update pgmq.q_embed set vt = clock_timestamp() + interval '1 minute'")  # leased or put off
    assert wake(owner) == 0
    assert owner.execute("select count(*) from net.calls").fetchone() == (0,)


@pytest.mark.parametrize(
    ("jobs", "running", "calls"),
    [(1, 0, 1), (16, 0, 1), (17, 0, 2), (500, 0, 4), (500, 3, 1), (500, 4, 0), (500, 9, 0)],
)
def test_as_many_are_called_as_there_is_work_for(
    shop: Shop, owner: Connection[Any], jobs: int, running: int, calls: int
) -> None:
    switch_on(owner)
    queue(shop, jobs)
    for _ in range(running):
        owner.execute("select corpuscope.note_edge_run(%s)", [uuid4()])
    assert wake(owner) == calls
    assert (
        owner.execute("select url, body, headers, timeout_milliseconds from net.calls").fetchall()
        == [
            (
                f"{URL}/functions/v1/embed",
                {},
                {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"},
                150_000,
            )
        ]
        * calls
    )


def test_runs_that_died_make_room(shop: Shop, owner: Connection[Any]) -> None:
    switch_on(owner)
    queue(shop, 500)
    for _ in range(4):
        owner.execute("select corpuscope.note_edge_run(%s)", [uuid4()])
    owner.execute("update corpuscope.edge_runs set seen_at = now() - interval '50 seconds'")
    assert wake(owner) == 4


def test_nobody_else_may_call_it(shop: Shop, owner: Connection[Any]) -> None:
    switch_on(owner)
    with pytest.raises(Exception, match=r"refused|permission|may not"), shop.database.as_user(shop.user) as conn:
        conn.execute("select corpuscope.wake_embedding()")


def test_from_a_file_to_its_vectors_by_the_schedule_alone(shop: Shop, owner: Connection[Any]) -> None:
    """The recorded requests are sent to the function, as pg_net would: no worker embeds anything."""
    document = shop.store("a.txt", prose(40))
    shop.work_until(lambda: shop.stage(document) == "embedding", queues=("ingest",))
    with StandInOpenAI() as model:
        model.default_embeddings = Trouble()
        with function(shop.database, model) as served:
            switch_on(owner, served.url)
            assert wake(owner) == 1
            for url, body, headers in owner.execute("select url, body, headers from net.calls").fetchall():
                assert httpx.post(url, json=body, headers=headers, timeout=60, trust_env=False).status_code == 200
            assert wake(owner) == 0
    assert shop.stage(document) == "ready"
    assert shop.check_vectors() >= 40
