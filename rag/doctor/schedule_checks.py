"""Automatic embeddings in the project itself: the schedule of pg_cron, and what it needs."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from rag.doctor.checkup import Check, fail, listed, ok, skipped, warn

_NEEDED = ("pg_net", "supabase_vault")


def check_schedule(conn: Connection[Any]) -> Check:
    """Whether pg_cron calls the function `embed`, and how its last calls ended."""
    jobs = _jobs(conn)
    if not jobs:
        return skipped("schedule", "Embeddings are left to workers: pg_cron calls no function of Corpuscope's.")
    off = [name for name, active in jobs.items() if not active]
    if off:
        step = f"select cron.alter_job(jobid, active => true) from cron.job where jobname = '{off[0]}';"
        return warn("schedule", f"Switched off: {listed(off)}.", step)
    rows = conn.execute("select extname from pg_extension where extname = any (%s)", [list(_NEEDED)])
    missing = sorted(set(_NEEDED) - {name for (name,) in rows})
    if missing:
        return fail("schedule", f"pg_cron's jobs need {listed(missing)}.", "Enable it under Database → Extensions.")
    problem = last_problem(conn, list(jobs))
    if problem:
        return fail("schedule", f"The last run failed: {problem}", "See Integrations → Cron for its history.")
    return ok("schedule", f"pg_cron runs {listed(jobs)}.")


def _jobs(conn: Connection[Any]) -> dict[str, bool]:
    row = conn.execute("select to_regclass('cron.job') is not null").fetchone()
    if row is None or not row[0]:
        return {}
    return dict(
        conn.execute(
            "select coalesce(jobname, command), active from cron.job"
            " where jobname like 'corpuscope%' or command like '%corpuscope.%' order by 1"
        ).fetchall()
    )


def last_problem(conn: Connection[Any], jobs: list[str]) -> str:
    """What the last run of one of these jobs said if it failed, else nothing."""
    row = conn.execute("select to_regclass('cron.job_run_details') is not null").fetchone()
    if row is None or not row[0]:
        return ""
    row = conn.execute(
        "select distinct on (j.jobid) d.status, d.return_message from cron.job j join cron.job_run_details d"
        " using (jobid) where coalesce(j.jobname, j.command) = any (%s) and d.status in ('failed', 'succeeded')"
        " order by j.jobid, d.start_time desc limit 1",
        [jobs],
    ).fetchone()
    return str(row[1])[:200] if row is not None and row[0] == "failed" else ""
