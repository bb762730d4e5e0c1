"""A Supabase project for tests: here, PostgREST over a database of the embedded server; or a hosted one.

Here, sign-in is left out: a person's token is signed with the project's secret, as its Auth server would. A test that
signs people in starts a server for it and adds it by :meth:`Project.route`.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import jwt
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions

from rag.store.database import Database, prepare
from tests.supabase.gateway import Gateway, free_port, serving
from tests.supabase.tools import environment, tool

#: The only schema that the project exposes; supabase/config.toml says the same.
EXPOSED = "api"
_START_S = 20


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in at the project."""

    id: UUID
    email: str
    token: str


@dataclass
class Project:
    """A project's address, keys and database, and two people in it."""

    url: str
    publishable_key: str
    secret_key: str = field(repr=False)
    database: Database
    people: dict[str, Person]
    gateway: Gateway | None = None
    jwt_secret: str = field(default="", repr=False)
    _lines: list[httpx.Client] = field(default_factory=list, repr=False)

    def close(self) -> None:
        """Hang up what clients were made."""
        for line in self._lines:
            line.close()

    @property
    def hosted(self) -> bool:
        return self.gateway is None

    @property
    def alice(self) -> Person:
        return self.people["alice"]

    @property
    def bob(self) -> Person:
        return self.people["bob"]

    def token(self, user_id: UUID, role: str = "authenticated", **claims: Any) -> str:
        """An access token of that user, good for an hour; only for a project here, whose secret is known."""
        if self.hosted:
            raise ValueError("A hosted project signs its own tokens: use a person's.")
        return _signed(self.jwt_secret, sub=str(user_id), role=role, **claims)

    def forged(self, user_id: UUID, **claims: Any) -> str:
        """A token that says it is that user's, signed with another secret."""
        return _signed(secrets.token_urlsafe(48), sub=str(user_id), role="authenticated", **claims)

    def route(self, prefix: str, address: str) -> None:
        """Let ``prefix`` of the project's address lead to a server of the test's."""
        if self.gateway is None:
            raise ValueError("A hosted project has its own servers.")
        self.gateway.routes[prefix] = address

    def client(self, token: str | None = None, *, key: str | None = None) -> Client:
        """A supabase-py client of its own: anonymous, or with a person's token, or with another key."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        line = httpx.Client(timeout=20, trust_env=False)
        self._lines.append(line)
        options = SyncClientOptions(
            schema=EXPOSED, headers=headers, auto_refresh_token=False, persist_session=False, httpx_client=line
        )
        return create_client(self.url, key or self.publishable_key, options)


def _signed(secret: str, **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"aud": "authenticated", "iat": now, "exp": now + 3600} | claims, secret, "HS256")


@contextlib.contextmanager
def project_here(database: Database, people: dict[str, tuple[UUID, str]]) -> Iterator[Project]:
    """A project over ``database``: real PostgREST, our stand-in for the gateway."""
    secret = secrets.token_urlsafe(48)
    keys = [
        _signed(secret, role=role, iss="supabase", exp=int(time.time()) + 86_400) for role in ("anon", "service_role")
    ]
    signed_in = {
        name: Person(id, email, _signed(secret, sub=str(id), role="authenticated", email=email))
        for name, (id, email) in people.items()
    }
    gateway = Gateway()
    with postgrest(database.app_dsn, secret) as address, serving(gateway) as url:
        gateway.routes["/rest/v1"] = address
        with contextlib.closing(Project(url, keys[0], keys[1], database, signed_in, gateway, secret)) as project:
            yield project


@contextlib.contextmanager
def postgrest(dsn: str, secret: str, schemas: str = EXPOSED) -> Iterator[str]:
    """PostgREST over the database that ``dsn`` names; its address."""
    port = free_port()
    settings = {
        "PGRST_DB_URI": dsn,
        "PGRST_DB_SCHEMAS": schemas,
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_EXTRA_SEARCH_PATH": "public, extensions",
        "PGRST_DB_POOL": "6",
        "PGRST_JWT_SECRET": secret,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_LOG_LEVEL": "crit",
        "PGRST_OPENAPI_MODE": "follow-privileges",
    }
    running = subprocess.Popen([str(tool("postgrest"))], env=environment(**settings), stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(running, address)
        yield address
    finally:
        running.terminate()
        running.wait(10)


def _wait(running: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(address, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"PostgREST did not start within {_START_S} s.")


@contextlib.contextmanager
def hosted_project(url: str, dsn: str, publishable_key: str, secret_key: str) -> Iterator[Project]:
    """The hosted project, migrated, with two people made for this run and removed after it."""
    admin = create_client(url, secret_key)
    prepare(dsn, dsn)
    people: dict[str, Person] = {}
    try:
        for name in ("alice", "bob"):
            email, password = f"{name}-{secrets.token_hex(6)}@example.org", secrets.token_urlsafe(24)
            made = admin.auth.admin.create_user({"email": email, "password": password, "email_confirm": True})
            session = create_client(url, publishable_key).auth.sign_in_with_password(
                {"email": email, "password": password}
            )
            assert session.session is not None
            people[name] = Person(UUID(made.user.id), email, session.session.access_token)
        with (
            Database(dsn) as database,
            contextlib.closing(Project(url, publishable_key, secret_key, database, people)) as project,
        ):
            yield project
    finally:
        for person in people.values():
            admin.auth.admin.delete_user(str(person.id))
