"""``python -m tests.permissions``: try everything on a database of its own, and write it into docs/permissions.md."""

from __future__ import annotations

from rag.store import bootstrap
from rag.store.database import Database, connect, prepare
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import temporary_home
from tests.permissions.cast import seed
from tests.permissions.report import DOCUMENT, render, replace_generated


def main() -> None:
    with temporary_home() as home, EmbeddedPostgres(home, durable=False) as server:
        admin = server.dsn("supabase_admin", "permissions")
        bootstrap.create_database(server.dsn("supabase_admin", "postgres"), "permissions")
        prepare(admin, server.dsn("postgres", "permissions"))
        with Database(server.dsn("authenticator", "permissions"), server.dsn("postgres", "permissions")) as database:
            stage = seed(database)
            with connect(admin) as conn:
                generated = render(conn, stage)
    DOCUMENT.write_text(replace_generated(DOCUMENT.read_text(encoding="utf-8"), generated), encoding="utf-8")


if __name__ == "__main__":
    main()
