"""The door for tests: settings with sign-in, people who have accounts, invitations, and what the audit list says."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from rag.auth import people, sessions, signing_in
from rag.auth.passwords import hash_password
from rag.auth.secret_tokens import hash_token, new_token
from rag.auth.sessions import Session
from rag.corpus.collections import create_collection
from rag.records import LOCAL_USER
from rag.settings import Settings
from rag.store.database import Database, User

LOCAL = Settings(_env_file=None, auth="local")
OIDC = Settings(
    _env_file=None,
    auth="oidc",
    oidc_metadata_url="https://id.example.org/.well-known/openid-configuration",
    oidc_client_id="corpuscope",
)
IDLE = timedelta(hours=1)
ANN, ANNS = "ann@example.org", "correct horse battery"
BEN, BENS = "ben@example.org", "nine green bottles"
HERE: dict[str, Any] = {"device": "Firefox on Linux", "address": "192.0.2.7", "settings": LOCAL}


@cache
def hashed(password: str) -> str:
    """Hashing takes long on purpose; tests of other things need one."""
    return hash_password(password)


def make_first(database: Database) -> tuple[str, Session]:
    """Ann has the first account and is administrator; her session."""
    with database.as_accounts() as conn:
        ann = people.take_over_local(conn, ANN, "Ann", hashed(ANNS))
        return signing_in.begin(conn, ann, "password", **HERE)


def make_person(database: Database, email: str = BEN, password: str = BENS) -> UUID:
    """Somebody else with a password."""
    with database.as_accounts() as conn:
        return people.add_person(conn, email, password_hash=hashed(password))


def invite(database: Database, email: str | None = None, **columns: Any) -> str:
    """An invitation that the administrator made; the token of its link. ``columns`` are set as they are."""
    token = new_token()
    names = ["token_hash", "email", "invited_by", *columns]
    with database.as_accounts() as conn:
        conn.execute(
            f"insert into corpuscope.invitations ({', '.join(names)})"
            f" values ({', '.join(['%s'] * len(names))})".encode(),
            [hash_token(token), email, LOCAL_USER, *columns.values()],
        )
    return token


def sign_in(database: Database, email: str = ANN, password: str = ANNS, **changes: Any) -> tuple[str, Session]:
    """Sign in from where everybody here is."""
    return signing_in.sign_in(database, email, password, **{**HERE, **changes})


def look(database: Database, token: str) -> Session | None:
    """What the gate does with the token of a cookie."""
    with database.as_accounts() as conn:
        return sessions.find_by_token(conn, token, idle=IDLE)


def change(database: Database, statement: str, *values: Any) -> None:
    """A statement in which the test lets time pass or an administrator act."""
    with database.as_owner() as conn:
        conn.execute(statement.encode(), values)


def audit(database: Database) -> list[tuple[str, str]]:
    """Actions and whom they were about, the newest last."""
    with database.as_owner() as conn:
        return conn.execute("select action, subject from public.audit_log order by id").fetchall()


def make_collection(database: Database, owner: User, name: str = "Owls") -> UUID:
    """An empty collection of somebody's."""
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with database.as_user(owner) as conn:
        return create_collection(conn, name)
