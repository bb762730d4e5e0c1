"""`corpuscope status` and `corpuscope migrate`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from rag.commands.appserver import address, answers
from rag.commands.cli_output import Output, table
from rag.commands.cli_session import Session, open_session
from rag.corpus.collections import list_collections
from rag.corpus.documents import list_failed_jobs
from rag.corpus.progress import describe, read_progress, read_worker_status
from rag.records import Collection, WorkerStatus
from rag.settings import Settings
from rag.store import migrations


def run_status(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print what runs and how far every collection is."""
    with open_session(settings, out, model=False) as session:
        with session.database.as_owner() as owner:
            pending = [migration.path.name for migration in migrations.pending(owner)]
            (server,) = owner.execute("show server_version").fetchone() or ("",)
        with session.as_user() as conn:
            workers = read_worker_status(conn)
            collections = [_collection(session, collection) for collection in list_collections(conn)]
    status = {
        "app": {"address": address(settings), "running": answers(settings)},
        "database": {"embedded": settings.embedded, "version": server.split()[0], "pending_migrations": pending},
        "workers": _workers(workers),
        "collections": collections,
    }
    out.result(status, _text(status))
    return 0


def _workers(status: WorkerStatus) -> dict[str, Any]:
    until = status.waiting_until
    return {
        "alive": status.alive,
        "loading": status.loading,
        "busy": status.busy,
        "waiting_until": until.isoformat() if until else None,
        "waiting_reason": status.waiting_reason,
    }


def _collection(session: Session, collection: Collection) -> dict[str, Any]:
    with session.as_user() as conn:
        progress = read_progress(conn, collection.id)
        failed_jobs = len(list_failed_jobs(conn, collection.id))
    return {
        "name": collection.name,
        "role": collection.role,
        "documents": collection.document_count,
        "stages": {stage: n for stage, n in progress.stages.items() if n},
        "chunks_embedded": progress.embedded_total,
        "failed_jobs": failed_jobs,
        "activity": describe(progress) or None,
    }


def _text(status: dict[str, Any]) -> str:
    app, database, workers = status["app"], status["database"], status["workers"]
    where = "embedded" if database["embedded"] else "DATABASE_URL"
    lines = [
        f"App        {app['address']}" if app["running"] else "App        not running",
        f"Database   Postgres {database['version']}, {where}",
        f"Workers    {workers['alive']} alive, {workers['busy']} busy",
    ]
    rows = [
        [c["name"], c["documents"], c["stages"].get("ready", 0), c["stages"].get("failed", 0), c["chunks_embedded"]]
        for c in status["collections"]
    ]
    lines += ["", table(rows, ["Collection", "Documents", "Ready", "Failed", "Chunks"])] if rows else []
    lines += [f"{c['name']}: {c['activity']}" for c in status["collections"] if c["activity"]]
    return "\n".join(lines)


def run_migrate(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Bring the schema up to date, which opening does; print what is applied by now and register the model."""
    with open_session(settings, out) as session, session.database.as_owner() as owner:
        applied = [
            f"{version}_{name}.sql"
            for version, name in owner.execute(
                "select version, name from supabase_migrations.schema_migrations order by version"
            )
        ]
    text = f"The database is up to date: {len(applied)} migrations, {applied[-1]} is last."
    out.result({"migrations": applied}, text)
    return 0
