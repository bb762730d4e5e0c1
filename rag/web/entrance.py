"""What the gate and the pages before the app share: the settings, the database once it is there, and our signatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from rag.auth.secret_tokens import Signer, installation_key
from rag.auth.sessions import Session
from rag.errors import DatabaseUnavailable
from rag.settings import Settings
from rag.store.database import Database
from rag.web import cookies

if TYPE_CHECKING:
    from rag.auth.project_door import ProjectDoor
    from rag.auth.supabase_auth import AuthProject

#: Header with the signed id of a socket's session, from the gate to the pages behind it; never from outside.
SESSION_HEADER = "x-corpuscope-session"
#: Where the gate leaves the session in the scope of a request for one of our own pages.
SESSION_KEY = "corpuscope.session"

#: The pages that somebody without a session sees.
_PAGES = frozenset({"/sign-in", "/sign-out", "/guest", "/join"})
#: The others, by how people sign in.
_MORE_PAGES = {
    "local": frozenset({"/sign-up", "/reset"}),
    "oidc": frozenset({"/sign-in/provider"}),
    "supabase": frozenset(
        {"/sign-up", "/reset", "/forgot", "/sign-in/provider", "/sign-in/code", "/sign-in/callback", "/sign-in/setup"}
    ),
}


class Provider(Protocol):
    """The OpenID provider, as far as the framework that talks to it has to help."""

    def address(self) -> str:
        """Where signing in there begins; good for a minute or two."""

    def claims(self, answer: Mapping[str, str]) -> Mapping[str, Any] | None:
        """What the provider said of somebody, from the cookies of the framework's answer; None if it said no."""

    def is_its_cookie(self, name: str) -> bool:
        """Whether a cookie is one in which the framework keeps what the provider said."""


@dataclass(frozen=True)
class Entrance:
    """One for a process; nothing in it belongs to a person. ``find_database`` gives None until it is open.

    ``project`` is another Auth than the one that the settings name.
    """

    settings: Settings
    find_database: Callable[[], Database | None]
    provider: Provider | None = None
    project: AuthProject | None = None

    @property
    def is_guarded(self) -> bool:
        """Whether anybody has to sign in at all."""
        return self.settings.auth != "none"

    @property
    def uses_passwords(self) -> bool:
        return self.settings.auth == "local"

    @property
    def uses_project(self) -> bool:
        """Whether people sign in at a Supabase project."""
        return self.settings.auth == "supabase"

    @cached_property
    def project_door(self) -> ProjectDoor:
        """Raises :class:`DatabaseUnavailable` until the database is open."""
        from rag.auth.project_door import ProjectDoor
        from rag.auth.supabase_auth import AuthProject

        return ProjectDoor(self.database, self.settings, self.key, self.project or AuthProject.of(self.settings))

    def keep_fresh(self, session: Session | None) -> Session | None:
        """The session, with a Supabase project's tokens renewed if that is due; None if it is over there."""
        if not self.uses_project or session is None or session.renew_at is None:
            return session
        return self.project_door.sessions.keep_fresh(session)

    @property
    def pages(self) -> frozenset[str]:
        """The addresses of our own pages."""
        return _PAGES | _MORE_PAGES.get(self.settings.auth, frozenset())

    @property
    def database(self) -> Database:
        """Raises :class:`DatabaseUnavailable` until it is open."""
        found = self.find_database()
        if found is None:
            raise DatabaseUnavailable("The database is starting.")
        return found

    @property
    def idle(self) -> timedelta:
        """The time without a visit after which a session ends."""
        return timedelta(hours=self.settings.session_idle_hours)

    @cached_property
    def key(self) -> bytes:
        """The installation's key for signatures."""
        return installation_key(self.settings)

    def signer(self, purpose: str) -> Signer:
        """Signs what we hand out under the name of ``purpose``."""
        return Signer(self.key, purpose=purpose)

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach us over https only."""
        return self.settings.public_url.startswith("https://")

    def session_cookie(self, token: str, session: Session) -> str:
        """The header that signs a browser in."""
        left = session.expires_at - datetime.now(UTC)
        return self.cookie(cookies.SESSION, token, lasts=left)

    def cookie(self, name: str, value: str, *, lasts: timedelta) -> str:
        """A header that sets a signed cookie."""
        max_age = max(0, int(lasts.total_seconds()))
        return cookies.set_cookie(name, self.signer(name).sign(value), max_age=max_age, secure=self.is_secure)

    def read(self, found: Mapping[str, str], name: str) -> str | None:
        """What we signed into a cookie; None if it isn't there, or not ours."""
        text = found.get(name)
        return self.signer(name).unsign(text) if text else None

    def drop(self, name: str) -> str:
        """A header that takes a cookie back."""
        return cookies.drop_cookie(name, secure=self.is_secure)
