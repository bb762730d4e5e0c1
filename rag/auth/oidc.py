"""What an OpenID provider says of somebody, checked by us, and the session that comes of it.

The framework that talks to the provider checks signature, state and nonce. Issuer, audience and expiry are checked here
again, by OpenID Connect Core 1.0, section 3.1.3.7: a token for another client of the same provider is well signed too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.auth import people, sessions
from rag.auth.invitations import accept_all_for, accept_invitation, describe_invitation, has_invitation
from rag.auth.sessions import Session
from rag.auth.signing_in import begin, note
from rag.errors import NotAllowed, SignInRefused
from rag.settings import Settings
from rag.store.database import Database

#: By how much the provider's clock may be ahead of ours.
CLOCKS_DIFFER = timedelta(seconds=60)
_WELL_KNOWN = "/.well-known/openid-configuration"
_LONGEST_SUBJECT = 255


@dataclass(frozen=True, slots=True)
class OidcUser:
    """Somebody whom the provider vouches for until ``expires_at``; ``email`` is None unless it verified that."""

    issuer: str
    subject: str
    email: str | None
    name: str
    expires_at: datetime


def verify_claims(claims: Mapping[str, Any], *, issuer: str, audience: str, now: datetime) -> OidcUser:
    """Who the claims of an ID token speak of.

    ``issuer`` and ``audience`` are the provider's name and ours there. Raises :class:`SignInRefused` where a claim is
    missing, of another type, or not what it must be.
    """
    said_issuer = claims.get("iss")
    # By OpenID Connect Discovery, a final slash is left out where the metadata's address is made of the issuer.
    if not issuer or not isinstance(said_issuer, str) or said_issuer.removesuffix("/") != issuer.removesuffix("/"):
        raise _refused("comes from another provider")
    if not audience or not _is_for(audience, claims):
        raise _refused("was made for another application")
    expires_at = _time(claims, "exp")
    if expires_at is None or expires_at <= now:
        raise _refused("has expired")
    for name in ("iat", "nbf"):
        begins = _time(claims, name) if name in claims else now
        if begins is None or begins > now + CLOCKS_DIFFER:
            raise _refused("is not valid yet")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise _refused("names nobody")
    email = claims.get("email")
    verified = claims.get("email_verified") is True and isinstance(email, str)
    called = claims.get("name")
    return OidcUser(
        said_issuer.removesuffix("/"),
        subject,
        people.tidy_email(str(email)) if verified else None,
        people.tidy_label(called, 200) if isinstance(called, str) else "",
        expires_at,
    )


def _is_for(audience: str, claims: Mapping[str, Any]) -> bool:
    """Made for us; where it is for others too, they must not be the ones whom it was handed to."""
    said = claims.get("aud")
    if isinstance(said, str):
        said = [said]
    if not isinstance(said, list) or audience not in said:
        return False
    party = claims.get("azp")
    return party == audience if party is not None or len(said) > 1 else True


def _time(claims: Mapping[str, Any], name: str) -> datetime | None:
    seconds = claims.get(name)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _refused(what: str) -> SignInRefused:
    return SignInRefused(f"What the sign-in provider sent {what}.", hint="Try again, or ask an administrator.")


def expected_issuer(settings: Settings) -> str:
    """The provider's name: what its metadata's address begins with (OpenID Connect Discovery 1.0, section 4)."""
    return settings.oidc_metadata_url.removesuffix("/").removesuffix(_WELL_KNOWN)


def sign_in_oidc(
    database: Database,
    claims: Mapping[str, Any],
    *,
    settings: Settings,
    invitation: str | None = None,
    device: str,
    address: str,
    now: datetime | None = None,
) -> tuple[str, Session]:
    """A session for whoever the provider vouches for, with an account if they have or get one.

    ``invitation`` is the token of a link that they came with. The first person ever takes the local user's account over
    and is administrator. Raises :class:`SignInRefused` for claims that won't do, :class:`NotAllowed` for somebody who
    may not come in.
    """
    if settings.auth != "oidc":
        raise NotAllowed("Nobody signs in through a provider here.")
    now = now or datetime.now(UTC)
    user = verify_claims(claims, issuer=expected_issuer(settings), audience=settings.oidc_client_id, now=now)
    with database.as_accounts() as conn:
        user_id = _find_account(conn, user) or _make_account(conn, user, invitation, settings)
        person = people.find_person(conn, user_id, lock=True)
        if person is None or person.disabled_at is not None:
            raise NotAllowed("This account was closed.", hint="Ask an administrator.")
        _use(conn, invitation, person)
        return begin(
            conn, user_id, "oidc", device=device, address=address, settings=settings, lasts=user.expires_at - now
        )


def _find_account(conn: Connection[Any], user: OidcUser) -> UUID | None:
    """By the provider's own name for them; an address can pass to somebody else, that name can't."""
    person = people.find_by_subject(conn, user.issuer, user.subject)
    return person.user_id if person else None


def _make_account(conn: Connection[Any], user: OidcUser, invitation: str | None, settings: Settings) -> UUID:
    if user.email is None:
        raise NotAllowed(
            "The sign-in provider doesn't confirm your e-mail address.", hint="Confirm it there, then sign in again."
        )
    if not people.has_accounts(conn):
        return people.take_over_local(conn, user.email, user.name, None, user.issuer, user.subject)
    person = people.find_by_email(conn, user.email)
    if person is not None:
        return _link(conn, person, user)
    if not (settings.oidc_sign_up == "anyone" or has_invitation(conn, user.email) or _opens(conn, invitation, user)):
        raise NotAllowed("You have no account here.", hint="Ask an administrator for an invitation.")
    user_id = people.add_person(conn, user.email, user.name, issuer=user.issuer, subject=user.subject)
    accept_all_for(conn, user.email, user_id)
    return user_id


def _opens(conn: Connection[Any], invitation: str | None, user: OidcUser) -> bool:
    found = describe_invitation(conn, invitation) if invitation else None
    return found is not None and found.is_open and (found.email is None or found.email.lower() == user.email)


def _link(conn: Connection[Any], person: people.Person, user: OidcUser) -> UUID:
    """The account was made before the installation asked this provider. Whoever made it may never have proved the
    address, so what they could come in with goes: the password and the sessions.
    """
    if person.subject is not None and person.issuer == user.issuer:  # an address that passed to somebody else
        raise NotAllowed(
            "Another person at the sign-in provider has the account with your e-mail address.",
            hint="Ask an administrator.",
        )
    people.link_to_provider(conn, person.user_id, user.issuer, user.subject)
    sessions.end_others(conn, person.user_id, "the account is the provider's now")
    note(conn, "account linked", person.email, actor=person.user_id, address="", device="")
    return person.user_id


def _use(conn: Connection[Any], invitation: str | None, person: people.Person) -> None:
    """What the link gives. One that is of no use to them doesn't keep anybody out who has an account."""
    found = describe_invitation(conn, invitation) if invitation else None
    if invitation and found and found.is_open and found.email in (None, person.email):
        accept_invitation(conn, invitation, person.user_id)
