"""A stand-in for a project's Auth where a real one can't do what a test needs: outages, bans, anonymous users.

Its users are made by the test, its tokens are plain words; a refresh token is good once, as with a real one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from rag.auth.project_door import Caller, ProjectDoor
from rag.auth.supabase_auth import AuthProject, ProjectTokens, ProjectUser, Proof, Scope, Way
from rag.errors import CorpuscopeError, SignInRefused
from rag.settings import Settings
from rag.store.database import Database

URL = "https://abcdefgh.supabase.co"
KEY = bytes(range(32))
HERE = Caller("Firefox on Linux", "192.0.2.7")


@dataclass
class World:
    """What the project knows and does, for the test to change."""

    passwords: dict[str, tuple[str, UUID]] = field(default_factory=dict)
    users: dict[UUID, ProjectUser] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    signed_out: list[tuple[str, Scope]] = field(default_factory=list)
    sent: list[tuple[str, bool]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    codes: dict[str, tuple[str, UUID]] = field(default_factory=dict)
    problem: CorpuscopeError | None = None
    confirms: bool = True
    lasts: timedelta = timedelta(hours=1)


class StandInAuth(AuthProject):
    """Answers from ``world`` instead of a server."""

    def __init__(self, world: World) -> None:
        super().__init__(URL, "sb_publishable_x")
        self.world = world
        self._numbers = itertools.count(1)
        self._whose: dict[str, UUID] = {}

    def proof(self, user: ProjectUser, way: Way = "password") -> Proof:
        """As if that user had just proven who they are."""
        number = next(self._numbers)
        tokens = ProjectTokens(f"access {number}", f"refresh {number}", datetime.now(UTC) + self.world.lasts)
        self.world.users[user.id] = user
        self._whose[tokens.refresh] = user.id
        return Proof(user, tokens, way)

    def sign_in(self, email: str, password: str) -> Proof:
        self._answer()
        known, user = self.world.passwords.get(email, ("", UUID(int=0)))
        if not known or known != password:
            raise SignInRefused
        return self.proof(self.world.users[user])

    def sign_up(self, email: str, password: str, name: str, *, back: str) -> tuple[Proof | None, str]:
        self._answer()
        self.world.made.append(email)
        return None, "a verifier"

    def send_code(self, email: str, *, back: str, create: bool) -> str:
        self._answer()
        self.world.sent.append((email, create))
        return "a verifier"

    def send_recovery(self, email: str, *, back: str) -> str:
        return self.send_code(email, back=back, create=False)

    def exchange(self, code: str, verifier: str, way: Way) -> Proof:
        self._answer()
        expected, user = self.world.codes.pop(code, ("", UUID(int=0)))
        if not expected or verifier != expected:
            raise SignInRefused("This sign-in was begun in another browser, or too long ago.")
        return self.proof(self.world.users[user], way)

    def enter_anonymously(self) -> Proof:
        self._answer()
        return self.proof(ProjectUser(uuid4(), None, False, "", True, None), "guest")

    def renew(self, tokens: ProjectTokens, keep: Callable[[ProjectTokens], None]) -> Proof:
        self._answer()
        if tokens.refresh in self.world.spent:
            raise SignInRefused("The session has ended at the Supabase project.")
        self.world.spent.add(tokens.refresh)
        proof = self.proof(self.world.users[self._whose[tokens.refresh]], "renewal")
        keep(proof.tokens)
        return proof

    def set_password(self, tokens: ProjectTokens, password: str) -> None:
        self._answer()
        user = self.world.users[self._whose[tokens.refresh]]
        self.world.passwords[user.email or ""] = password, user.id

    def sign_out(self, tokens: ProjectTokens, scope: Scope = "local") -> None:
        self._answer()
        self.world.signed_out.append((tokens.access, scope))

    def confirms_addresses(self) -> bool:
        self._answer()
        return self.world.confirms

    def _answer(self) -> None:
        if self.world.problem is not None:
            raise self.world.problem


def somebody(email: str, **changes: Any) -> ProjectUser:
    """A user with a confirmed address."""
    return replace(ProjectUser(uuid4(), email, True, "", False, None), **changes)


def door_of(database: Database, world: World, **changes: Any) -> ProjectDoor:
    """The door of an installation that asks for the set-up code, before the stand-in."""
    values = {"public_url": "https://corpus.example.org", **changes}
    settings = Settings(
        _env_file=None,
        auth="supabase",
        supabase_url=URL,
        supabase_publishable_key="sb_publishable_x",
        database_url=database.owner_dsn,
        **values,
    )
    return ProjectDoor(database, settings, KEY, StandInAuth(world))


def proof_of(door: ProjectDoor, user: ProjectUser, way: Way = "password") -> Proof:
    """What the project gives that user."""
    assert isinstance(door.project, StandInAuth)
    return door.project.proof(user, way)
