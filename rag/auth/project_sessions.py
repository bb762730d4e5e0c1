"""Sessions of people who signed in at a Supabase project: the project's tokens behind ours, renewed and given back.

The tokens never leave the server. The database keeps them sealed, bound to their session. Near the end of an access
token the next visit renews it; a refresh token is good once, so that one process at a time does that and keeps the new
one before anything else. The project is never asked inside a transaction.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.auth import people, sessions
from rag.auth.project_people import follow_project
from rag.auth.sealing import Seal
from rag.auth.sessions import Session
from rag.auth.supabase_auth import AuthProject, ProjectTokens, Proof, Scope
from rag.errors import CorpuscopeError, NotAllowed, SignInBlocked, SignInRefused, SignInUnavailable
from rag.store.database import Database

_log = logging.getLogger(__name__)

#: Renew so long before the end of an access token, or in the last quarter of a short one's life.
RENEW_BEFORE = timedelta(minutes=5)
#: A session goes on so long after its token's end while the project can't be asked.
OUTAGE = timedelta(hours=1)
#: Whoever renews has so long; then somebody else tries.
_LEASE = timedelta(seconds=20)
_LOOK_S = 0.2

ENDED_THERE = "the Supabase project ended it"
UNREACHABLE = "the Supabase project could not be reached for too long"
SEALED_ELSEWHERE = "the key of this installation has changed"


@dataclass(frozen=True)
class ProjectSessions:
    """What keeps the sessions of one installation. Nothing in it belongs to a person."""

    database: Database
    project: AuthProject
    seal: Seal
    idle: timedelta

    def keep(self, conn: Connection[Any], session_id: UUID, tokens: ProjectTokens) -> None:
        """Seal a session's tokens away; those before them are forgotten. ``conn`` is ``as_accounts()``'s."""
        text = json.dumps([tokens.access, tokens.refresh, tokens.expires_at.timestamp()])
        left = tokens.expires_at - datetime.now(UTC)
        conn.execute(
            "insert into corpuscope.project_sessions as t (session_id, tokens, renew_at, expires_at)"
            " values (%s, %s, %s, %s) on conflict (session_id) do update set tokens = excluded.tokens,"
            " renew_at = excluded.renew_at, expires_at = excluded.expires_at, renewing_until = null",
            [
                session_id,
                self.seal.close(text.encode(), bound_to=session_id.bytes),
                tokens.expires_at - min(RENEW_BEFORE, left / 4),
                tokens.expires_at,
            ],
        )

    def keep_fresh(self, session: Session | None) -> Session | None:
        """The session, with its tokens renewed if that was due; None if it is over at the project."""
        if session is None or session.renew_at is None or datetime.now(UTC) < session.renew_at:
            return session
        deadline = time.monotonic() + _LEASE.total_seconds()
        while True:
            mine, tokens = self._lease(session.id)
            if mine:
                return self._renew(session, tokens)
            if session.tokens_end is not None and datetime.now(UTC) < session.tokens_end:
                return session  # somebody else is at it, and the old one still holds
            time.sleep(_LOOK_S)
            with self.database.as_accounts() as conn:
                now = sessions.find_session(conn, session.id, idle=self.idle, touch=False)
            if now is None or now.renew_at is None or datetime.now(UTC) < now.renew_at:
                return now
            if time.monotonic() > deadline:
                return None

    def tokens_of(self, session_id: UUID) -> ProjectTokens | None:
        """A session's tokens; None if it has none, or they were sealed with another key."""
        with self.database.as_accounts() as conn:
            row = conn.execute(
                "select tokens from corpuscope.project_sessions where session_id = %s", [session_id]
            ).fetchone()
        return self._open(row[0], session_id) if row else None

    def fresh_tokens(self, session_id: UUID) -> ProjectTokens:
        """The same, renewed if need be; raises :class:`SignInRefused` where the session is over."""
        with self.database.as_accounts() as conn:
            session = sessions.find_session(conn, session_id, idle=self.idle, touch=False)
        tokens = self.tokens_of(session_id) if self.keep_fresh(session) is not None else None
        if tokens is None:
            raise SignInRefused("Your session has ended.", hint="Sign in again.")
        return tokens

    def revoke(self, tokens: ProjectTokens | None, scope: Scope = "local") -> None:
        """End it at the project too. Ours has ended by then, and with it the only copy of its tokens."""
        if tokens is None:
            return
        try:
            if tokens.expires_at <= datetime.now(UTC):
                fresh: list[ProjectTokens] = []
                self.project.renew(tokens, fresh.append)
                tokens = fresh[-1]
            self.project.sign_out(tokens, scope)
        except CorpuscopeError as problem:
            _log.info("A session could not be ended at the Supabase project: %s", problem)

    def _lease(self, session_id: UUID) -> tuple[bool, ProjectTokens | None]:
        """Whether we are the one to renew now, and the tokens, if they open."""
        with self.database.as_accounts() as conn:
            row = conn.execute(
                "update corpuscope.project_sessions set renewing_until = now() + %s where session_id = %s"
                " and renew_at <= now() and coalesce(renewing_until <= now(), true) returning tokens",
                [_LEASE, session_id],
            ).fetchone()
        return row is not None, self._open(row[0], session_id) if row else None

    def _renew(self, session: Session, tokens: ProjectTokens | None) -> Session | None:
        if tokens is None:
            self._end(session, SEALED_ELSEWHERE)
            return None

        def store(new: ProjectTokens) -> None:
            with self.database.as_accounts() as conn:
                self.keep(conn, session.id, new)

        try:
            proof = self.project.renew(tokens, store)
        except (SignInUnavailable, SignInBlocked) as problem:
            return self._wait_for_project(session, tokens, problem)
        except (SignInRefused, NotAllowed):
            self._end(session, ENDED_THERE)
            return None
        if proof.user.id != session.identity.user_id:
            self._end(session, ENDED_THERE)
            return None
        return self._follow(session, proof)

    def _wait_for_project(self, session: Session, tokens: ProjectTokens, problem: CorpuscopeError) -> Session | None:
        if datetime.now(UTC) > tokens.expires_at + OUTAGE:
            self._end(session, UNREACHABLE)
            return None
        _log.warning("A session could not be renewed, the next visit tries again: %s", problem)
        return session

    def _follow(self, session: Session, proof: Proof) -> Session | None:
        """What changed at the project meanwhile. The tokens are kept already, whatever comes of this."""
        try:
            with self.database.as_accounts() as conn:
                person = people.find_person(conn, proof.user.id, lock=True)
                if person is not None:
                    follow_project(conn, person, proof.user)
        except CorpuscopeError as problem:
            _log.warning("What the project says of a person could not be taken over: %s", problem)
        with self.database.as_accounts() as conn:
            return sessions.find_session(conn, session.id, idle=self.idle, touch=False)

    def _end(self, session: Session, reason: str) -> None:
        with self.database.as_accounts() as conn:
            sessions.end(conn, session.id, reason)

    def _open(self, sealed: bytes, session_id: UUID) -> ProjectTokens | None:
        text = self.seal.open(bytes(sealed), bound_to=session_id.bytes)
        if text is None:
            return None
        access, refresh, expires_at = json.loads(text)
        return ProjectTokens(access, refresh, datetime.fromtimestamp(expires_at, UTC))
