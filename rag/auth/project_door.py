"""Through the door of an installation with AUTH=supabase: a proof of the project's becomes a session of ours.

Each function opens its own transactions, and asks the project between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from rag.auth import attempts, people, sessions, throttles
from rag.auth.identity import Identity
from rag.auth.invitations import describe_invitation, has_invitation
from rag.auth.passwords import check_new_password
from rag.auth.project_people import Arrival, admit, admit_guest
from rag.auth.project_sessions import ProjectSessions
from rag.auth.sealing import Seal
from rag.auth.sessions import Session
from rag.auth.signing_in import GUEST_STAYS, begin, needs_setup_code, note_refusal
from rag.auth.supabase_auth import AuthProject, CodeKind, ProjectTokens, Proof
from rag.errors import CorpuscopeError, InvalidInput, NotAllowed, SignInBlocked, SignInRefused
from rag.settings import Settings
from rag.store.database import Database


@dataclass(frozen=True)
class Caller:
    """Who asks, as far as that is known before they are: their device, network, link, and the set-up code."""

    device: str
    address: str
    invitation: str | None = None
    knows_setup_code: bool = False


@dataclass(frozen=True)
class Entered:
    """Somebody is in: the token for their cookie, their session, and the collection that their link gave."""

    token: str
    session: Session
    collection_id: UUID | None = None


class ProjectDoor:
    """The door of one installation. Nothing in it belongs to a person."""

    def __init__(self, database: Database, settings: Settings, key: bytes, project: AuthProject) -> None:
        self.database = database
        self.settings = settings
        self.project = project
        self.flows = Seal(key, purpose="sign-in flows")
        idle = timedelta(hours=settings.session_idle_hours)
        self.sessions = ProjectSessions(database, project, Seal(key, purpose="project tokens"), idle)

    def sign_in(self, email: str, password: str, caller: Caller) -> Entered:
        """With an address and its password."""
        guards, tries = self._count(email, caller)
        try:
            proof = self.project.sign_in(email, password)
        except SignInRefused as error:
            if not isinstance(error, SignInBlocked):
                self._note_refusal(email, caller, locked=tries == guards[0].limit)
            raise
        self._forgive(*guards)
        return self.enter(proof, caller)

    def take_code(self, email: str, code: str, kind: CodeKind, caller: Caller) -> Proof:
        """With a code that a message brought."""
        guards, _ = self._count(email, caller)
        proof = self.project.take_code(email, "".join(code.split()), kind)
        self._forgive(*guards)
        return proof

    def may_sign_up(self, email: str, caller: Caller) -> bool:
        """Whether an account that is made now would get in, so that the project doesn't fill with those that don't."""
        if self.settings.supabase_sign_up == "anyone":
            return True
        address = people.tidy_email(email)
        with self.database.as_accounts() as conn:
            if address is None or not people.has_accounts(conn):
                return True
            link = describe_invitation(conn, caller.invitation) if caller.invitation else None
            opens = link is not None and link.is_open and (link.email or address).lower() == address
            return opens or has_invitation(conn, address)

    def sign_up(self, email: str, password: str, name: str, caller: Caller, *, back: str) -> tuple[Proof | None, str]:
        """Make an account at the project; see :meth:`AuthProject.sign_up`. Without a chance to get in, nothing is made.

        The answer is the same then, so that nobody learns who was invited.
        """
        check_new_password(password, people.require_email(email))
        self._count(email, caller)
        if not self.may_sign_up(email, caller):
            return None, ""
        return self.project.sign_up(email, password, people.tidy_label(name, 200), back=back)

    def send_code(self, email: str, caller: Caller, *, back: str) -> str:
        """Send a code; to an address without an account only if it would get in."""
        self._count(people.require_email(email), caller)
        try:
            return self.project.send_code(email, back=back, create=self.may_sign_up(email, caller))
        except (NotAllowed, InvalidInput):
            return ""  # whether there is an account stays between the project and its owner

    def send_recovery(self, email: str, caller: Caller, *, back: str) -> str:
        """Send a code for a new password."""
        self._count(people.require_email(email), caller)
        return self.project.send_recovery(email, back=back)

    def enter(self, proof: Proof, caller: Caller) -> Entered:
        """A session for whoever the project vouches for. Whoever may not come in leaves no session there."""
        try:
            arrival = self._arrival(proof, caller)
            with self.database.as_accounts() as conn:
                user_id, collection_id = admit(conn, arrival)
                token, session = begin(conn, user_id, "supabase", **self._where(caller))
                self.sessions.keep(conn, session.id, proof.tokens)
                return Entered(token, session, collection_id)
        except CorpuscopeError:
            self.sessions.revoke(proof.tokens)
            raise

    def enter_as_guest(self, caller: Caller) -> Entered:
        """A session for a day for an anonymous user of the project, who sees public collections."""
        with self.database.as_accounts() as conn:
            row = conn.execute("select corpuscope.has_public_collections()").fetchone()
        if not row or not row[0]:
            raise NotAllowed("There is nothing here that guests may see.", hint="Sign in instead.")
        attempts.count_attempt(self.database, attempts.guests_by_network(caller.address))
        proof = self.project.enter_anonymously()
        with self.database.as_accounts() as conn:
            guest = admit_guest(conn, proof.user, self.project.address)
            token, session = begin(
                conn, guest, "guest", **self._where(caller), action="guest entered", lasts=GUEST_STAYS
            )
            self.sessions.keep(conn, session.id, proof.tokens)
        return Entered(token, session)

    def sign_out(self, session: Session, *, everywhere: bool = False) -> None:
        """End the session here, and then at the project; with ``everywhere`` all of the person's."""
        tokens = self.sessions.tokens_of(session.id)
        with self.database.as_accounts() as conn:
            sessions.end(conn, session.id, sessions.SIGNED_OUT)
            if everywhere:
                sessions.end_others(conn, session.identity.user_id, sessions.SIGNED_OUT_EVERYWHERE)
        self.sessions.revoke(tokens, "global" if everywhere else "local")

    def reset_password(self, tokens: ProjectTokens, user_id: UUID, email: str, password: str) -> None:
        """A new password after a recovery. Every session of that person ends, here and at the project."""
        check_new_password(password, email)
        self.project.set_password(tokens, password)
        with self.database.as_accounts() as conn:
            sessions.end_others(conn, user_id, "the password was reset")
            if (person := people.find_person(conn, user_id)) is not None:
                conn.execute(
                    "select corpuscope.note('password reset', subject => %s, actor => %s)", [person.email, user_id]
                )
        self.sessions.revoke(tokens, "global")

    def change_password(self, identity: Identity, old: str, new: str) -> None:
        """A new password for somebody who is signed in and knows the old one. Their other sessions end."""
        guard = attempts.by_person(identity.user_id)
        attempts.count_attempt(self.database, guard)
        if new == old:
            raise InvalidInput("That is the password that you have.")
        check_new_password(new, identity.email)
        assert identity.session_id is not None
        try:
            proof = self.project.sign_in(identity.email, old)
        except SignInRefused as error:
            raise SignInRefused(
                "The present password is wrong.", hint="If you have none, choose one by “Forgot your password?”."
            ) from error
        # A project may want a recent sign-in for this, and ends every other session: ours goes on with the new tokens.
        self.project.set_password(proof.tokens, new)
        self.sessions.revoke(proof.tokens, "others")
        with self.database.as_accounts() as conn:
            self.sessions.keep(conn, identity.session_id, proof.tokens)
            sessions.end_others(conn, identity.user_id, "the password was changed", keep=identity.session_id)
            throttles.clear(conn, guard.key)

    def _arrival(self, proof: Proof, caller: Caller) -> Arrival:
        """A password proves nothing of a mailbox where the project takes everybody's word for their address."""
        by_message = proof.way in ("code", "provider")
        return Arrival(
            proof.user,
            self.project.address,
            reads_mailbox=proof.user.is_confirmed and (by_message or self.project.confirms_addresses()),
            knows_setup_code=caller.knows_setup_code or not needs_setup_code(self.settings),
            invitation=caller.invitation,
            anyone_may=self.settings.supabase_sign_up == "anyone",
        )

    def _where(self, caller: Caller) -> Any:
        return {"device": caller.device, "address": caller.address, "settings": self.settings}

    def _count(self, email: str, caller: Caller) -> tuple[tuple[attempts.Guard, attempts.Guard], int]:
        """Count a try; under what, and how many that address had of late."""
        guards = attempts.by_email(people.tidy_email(email) or email), attempts.by_network(caller.address)
        tries, _ = attempts.count_attempt(self.database, *guards)
        return guards, tries

    def _note_refusal(self, email: str, caller: Caller, *, locked: bool) -> None:
        with self.database.as_accounts() as conn:
            person = people.find_by_email(conn, email)
        note_refusal(self.database, person, caller.address, caller.device, locked=locked)

    def _forgive(self, by_email: attempts.Guard, by_network: attempts.Guard) -> None:
        with self.database.as_accounts() as conn:
            throttles.clear(conn, by_email.key)
            attempts.take_back(conn, by_network)
