"""A Supabase project's Auth server: proves who somebody is, and gives tokens for that.

Every call makes a client of its own and drops it: a client keeps the session of whoever signed in last, so a shared one
would answer the next person as that one. Nothing here is kept but the project's address, key and public signing keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from rag.auth.auth_refusals import translated
from rag.auth.project_claims import ProjectKeys
from rag.errors import InvalidInput, NotAllowed, SignInRefused
from rag.settings import Settings

if TYPE_CHECKING:
    import ssl

    import httpx
    from supabase_auth import AuthResponse, SyncGoTrueClient, SyncMemoryStorage
    from supabase_auth.types import Session as GivenSession
    from supabase_auth.types import User

#: How somebody proved who they are. A code went to their mailbox; a password didn't.
Way = Literal["password", "code", "provider", "guest", "renewal"]
#: What a code in a message is for.
CodeKind = Literal["email", "signup", "recovery"]
Scope = Literal["local", "others", "global"]

_TIMEOUT_S = 10.0
_SETTINGS_LAST_S = 60.0
_KEPT_AS = "sign-in"


@dataclass(frozen=True, slots=True)
class ProjectTokens:
    """What the project gave for one session. ``refresh`` is good once; ``expires_at`` is the access token's end."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ProjectUser:
    """A user of the project, as it says itself.

    ``email`` is None for anonymous users. ``administers`` is what its app_metadata says in ``corpuscope_admin``, None
    where it says nothing. Of user_metadata, which users write, only the ``name`` is read.
    """

    id: UUID
    email: str | None
    is_confirmed: bool
    name: str
    is_anonymous: bool
    administers: bool | None


@dataclass(frozen=True, slots=True)
class Proof:
    """That somebody is ``user``, and the tokens of the session that began with that."""

    user: ProjectUser
    tokens: ProjectTokens
    way: Way


@dataclass(frozen=True, slots=True)
class _Call:
    """One client, for one call, and what it kept of it."""

    client: SyncGoTrueClient
    kept: SyncMemoryStorage
    line: httpx.Client

    @property
    def verifier(self) -> str:
        """The PKCE verifier that the client made; it marks those of a recovery."""
        return (self.kept.get_item(f"{_KEPT_AS}-code-verifier") or "").partition("/")[0]


class AuthProject:
    """One Supabase project's Auth. Safe to share: it holds nothing of anybody's."""

    def __init__(self, url: str, key: str) -> None:
        self.address = f"{url.removesuffix('/')}/auth/v1"
        self._headers = {"apikey": key}
        self._keys = ProjectKeys(self.address, self._headers)
        self._confirms: tuple[float, bool] | None = None

    @classmethod
    def of(cls, settings: Settings) -> AuthProject:
        """The one that the settings name."""
        return cls(settings.supabase_url, settings.supabase_publishable_key)

    # Each of these may raise SignInRefused, SignInBlocked, NotAllowed, InvalidInput or SignInUnavailable, in words.

    def sign_in(self, email: str, password: str) -> Proof:
        """With an address and its password."""
        with self._call() as call:
            return self._prove(
                call.client, call.client.sign_in_with_password({"email": email, "password": password}), "password"
            )

    def sign_up(self, email: str, password: str, name: str, *, back: str) -> tuple[Proof | None, str]:
        """A new account. None where the address has to be confirmed first, also for one that has an account.

        With it the PKCE verifier of the link in the message, which leads ``back``.
        """
        with self._call() as call:
            given = call.client.sign_up(
                {
                    "email": email,
                    "password": password,
                    "options": {"data": {"full_name": name} if name else {}, "email_redirect_to": back},
                }
            )
            proof = self._prove(call.client, given, "password") if given.session is not None else None
            return proof, call.verifier

    def send_code(self, email: str, *, back: str, create: bool) -> str:
        """Send a one-time code; the verifier of the link in the message. With ``create`` also to new addresses."""
        with self._call() as call:
            call.client.sign_in_with_otp(
                {"email": email, "options": {"should_create_user": create, "email_redirect_to": back}}
            )
            return call.verifier

    def send_recovery(self, email: str, *, back: str) -> str:
        """Send a code with which a new password can be chosen; the verifier of the link in the message."""
        with self._call() as call:
            call.client.reset_password_for_email(email, {"redirect_to": back})
            return call.verifier

    def take_code(self, email: str, code: str, kind: CodeKind) -> Proof:
        """Whoever has the code reads that mailbox."""
        try:
            return self._take_code(email, code, kind)
        except InvalidInput:
            if kind != "email":
                raise
            return self._take_code(email, code, "magiclink")  # what servers call it that don't know "email" yet

    def _take_code(self, email: str, code: str, kind: CodeKind | Literal["magiclink"]) -> Proof:
        with self._call() as call:
            return self._prove(
                call.client, call.client.verify_otp({"email": email, "token": code, "type": kind}), "code"
            )

    def provider_address(self, provider: str, *, back: str) -> tuple[str, str]:
        """Where signing in with an OAuth provider begins, and the PKCE verifier. Asks nobody."""
        with self._call() as call:
            given = call.client.sign_in_with_oauth({"provider": provider, "options": {"redirect_to": back}})  # type: ignore[typeddict-item]
            return given.url, call.verifier

    def exchange(self, code: str, verifier: str, way: Way) -> Proof:
        """What the ``code`` of a redirect stands for; of no use without the verifier that its beginning got."""
        with self._call() as call:
            given = call.client.exchange_code_for_session(
                {"auth_code": code, "code_verifier": verifier, "redirect_to": ""}
            )
            return self._prove(call.client, given, way)

    def enter_anonymously(self) -> Proof:
        """A new anonymous user, where the project allows them."""
        with self._call() as call:
            return self._prove(call.client, call.client.sign_in_anonymously(), "guest")

    def renew(self, tokens: ProjectTokens, keep: Callable[[ProjectTokens], None]) -> Proof:
        """Trade the refresh token, which is used up then, for the next tokens, and say whose they are.

        ``keep`` gets the new ones before anything else is asked: without them the session would be lost. Raises
        :class:`SignInRefused` once the session is over at the project.
        """
        with self._call() as call:
            given = call.client.refresh_session(tokens.refresh)
            if given.session is None:
                raise SignInRefused
            ends = datetime.now(UTC) + timedelta(seconds=given.session.expires_in)
            keep(ProjectTokens(given.session.access_token, given.session.refresh_token, ends))
            return self._prove(call.client, given, "renewal")

    def set_password(self, tokens: ProjectTokens, password: str) -> None:
        """Give whoever the tokens are of another password."""
        with self._call() as call:
            call.client.set_session(tokens.access, tokens.refresh)
            call.client.update_user({"password": password})

    def sign_out(self, tokens: ProjectTokens, scope: Scope = "local") -> None:
        """End that session at the project, or the person's ``others``, or all of them."""
        with self._call() as call:
            call.client.admin.sign_out(tokens.access, scope)

    def confirms_addresses(self) -> bool:
        """Whether an address is confirmed by a message before it counts; a project may take everybody's word for it.

        What it said is believed for a minute.
        """
        said = self._confirms
        if said is not None and time.monotonic() - said[0] < _SETTINGS_LAST_S:
            return said[1]
        with self._call() as call:
            answer = call.line.get(f"{self.address}/settings", headers=self._headers)
            answer.raise_for_status()
            confirms = answer.json().get("mailer_autoconfirm") is False
        self._confirms = time.monotonic(), confirms
        return confirms

    @contextmanager
    def _call(self) -> Iterator[_Call]:
        import httpx
        from supabase_auth import SyncGoTrueClient, SyncMemoryStorage

        with translated(), httpx.Client(timeout=_TIMEOUT_S, verify=self._trust, follow_redirects=False) as line:
            kept = SyncMemoryStorage()
            client = SyncGoTrueClient(
                url=self.address,
                headers=dict(self._headers),
                storage_key=_KEPT_AS,
                storage=kept,
                auto_refresh_token=False,
                persist_session=False,
                http_client=line,
                flow_type="pkce",
            )
            yield _Call(client, kept, line)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """The certificates that are trusted; reading them takes longer than a request."""
        import ssl

        return ssl.create_default_context()

    def _prove(self, client: SyncGoTrueClient, given: AuthResponse, way: Way) -> Proof:
        """What the server answered, once its token was verified."""
        session = given.session
        if session is None:
            raise SignInRefused
        verified = self._keys.verify(session.access_token)
        # A token signed with a secret that only the server knows is verified by it; then that answer counts.
        user = session.user
        if not verified.is_signed_publicly:
            answer = client.get_user(session.access_token)
            user = answer.user if answer is not None else user
        if verified.user_id != UUID(user.id):
            raise SignInRefused("What the Supabase project sent names two people.", hint="Try again.")
        is_other_kind = way != "renewal" and verified.is_anonymous != (way == "guest")
        if user.deleted_at or is_other_kind:
            raise NotAllowed("This account can't be used to sign in here.", hint="Ask an administrator.")
        return Proof(_describe(user, verified.is_anonymous), _tokens(session, verified.expires_at), way)


def _describe(user: User, is_anonymous: bool) -> ProjectUser:
    said = user.app_metadata.get("corpuscope_admin")
    called = user.user_metadata.get("full_name") or user.user_metadata.get("name")
    return ProjectUser(
        UUID(user.id),
        user.email or None,
        user.email_confirmed_at is not None,
        called if isinstance(called, str) else "",
        is_anonymous,
        said if isinstance(said, bool) else None,
    )


def _tokens(session: GivenSession, expires_at: datetime) -> ProjectTokens:
    return ProjectTokens(session.access_token, session.refresh_token, expires_at)
