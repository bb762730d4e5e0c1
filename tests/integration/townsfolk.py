"""People for tests about sharing: accounts, guests, and what an administrator or the sign-in would do for them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rag.auth.secret_tokens import hash_token
from rag.store.database import Database, connect


def open_account(database: Database, email: str | None, *, id: UUID | None = None, administrator: bool = False) -> UUID:
    """An account, or a guest's where there is no e-mail address; ``id`` names somebody who is in auth.users already."""
    with database.as_accounts() as conn:
        row = conn.execute(
            "select corpuscope.add_person(%s, as_administrator => %s, as_guest => %s,"
            " id => coalesce(%s, gen_random_uuid()))",
            [email, administrator, email is None, id],
        ).fetchone()
    assert row is not None
    made: UUID = row[0]
    return made


def accept(database: Database, token: str, person: UUID) -> UUID | None:
    """What the sign-in does with the token of a link."""
    with database.as_accounts() as conn:
        row = conn.execute("select corpuscope.accept_invitation(%s, %s)", [hash_token(token), person]).fetchone()
    assert row is not None
    collection: UUID | None = row[0]
    return collection


def set_limits(database: Database, scope: str, subject: UUID | None, **values: int | None) -> None:
    """As an administrator would; what isn't named has no limit of its own."""
    row = (values.get("files"), values.get("bytes"), values.get("questions"))
    run_as_owner(
        database, "delete from corpuscope.limits where scope = %s and subject is not distinct from %s", scope, subject
    )
    run_as_owner(
        database,
        "insert into corpuscope.limits (scope, subject, files, bytes, questions_per_day) values (%s, %s, %s, %s, %s)",
        scope,
        subject,
        *row,
    )


def run_as_owner(database: Database, statement: str, *values: Any) -> list[Any]:
    """Run a statement beside all policies, and return its rows."""
    with connect(database.owner_dsn) as conn:
        cursor = conn.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []
