"""People with an account, as the sign-in sees them. ``conn`` is from ``Database.as_accounts()``."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed
from rag.records import LOCAL_USER

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_LONGEST_ADDRESS = 320
_COLUMNS = (
    "user_id, coalesce(email, '') as email, name, password_hash, issuer, subject, is_administrator, is_guest,"
    " disabled_at"
)


@dataclass(frozen=True, slots=True)
class Person:
    """An account. ``password_hash`` is None for whoever signs in elsewhere, and for guests, who have no address."""

    user_id: UUID
    email: str
    name: str
    password_hash: str | None = field(repr=False)
    issuer: str | None
    subject: str | None
    is_administrator: bool
    is_guest: bool
    disabled_at: datetime | None


def tidy_email(text: str) -> str | None:
    """An e-mail address as it is kept and compared, in lower case; None if it can't be one.

    Letters that would become others, as the Kelvin sign becomes a k, are refused: a mailbox that is only written like
    another must not open that one's account.
    """
    address = text.strip()
    if len(address) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(address) or not address.isprintable():
        return None
    folded = address.lower()
    plain = all(letter in (letter.lower(), letter.lower().upper()) for letter in address)
    return folded if plain and unicodedata.normalize("NFKC", address) == address else None


def require_email(text: str) -> str:
    """The same, for addresses that are to be kept; raises :class:`InvalidInput`."""
    address = tidy_email(text)
    if address is None:
        raise InvalidInput("That is not an e-mail address.")
    return address


def tidy_label(text: str, most: int) -> str:
    """One line without control characters, of ``most`` characters at most: names, devices, network addresses."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:most]


def has_accounts(conn: Connection[Any]) -> bool:
    """Whether anybody can sign in, in whatever way. Until then the first to come becomes the administrator."""
    row = conn.execute(
        "select exists (select from corpuscope.people where password_hash is not null or subject is not null)"
    ).fetchone()
    return bool(row and row[0])


def find_person(conn: Connection[Any], user_id: UUID, *, lock: bool = False) -> Person | None:
    """The account with this id; with ``lock`` it stays as it is until the transaction ends."""
    return _find(conn, "user_id = %s" + (" for update" if lock else ""), user_id)


def find_by_email(conn: Connection[Any], email: str) -> Person | None:
    """The account with this e-mail address, however it is written."""
    address = tidy_email(email)
    return _find(conn, "lower(email) = %s", address) if address else None


def find_by_subject(conn: Connection[Any], issuer: str, subject: str) -> Person | None:
    """The account of whoever an OpenID provider calls ``subject``."""
    return _find(conn, "issuer = %s and subject = %s", issuer, subject)


def _find(conn: Connection[Any], condition: str, *values: object) -> Person | None:
    cursor = conn.cursor(row_factory=class_row(Person))
    return cursor.execute(f"select {_COLUMNS} from corpuscope.people where {condition}".encode(), values).fetchone()


def find_operator(conn: Connection[Any]) -> UUID | None:
    """The oldest administrator whose account is open: whom commands act as where there is no local user."""
    row = conn.execute(
        "select user_id from corpuscope.people where is_administrator and disabled_at is null and not is_guest"
        " order by created_at, user_id limit 1"
    ).fetchone()
    return row[0] if row else None


def list_accounts(conn: Connection[Any]) -> list[Person]:
    """Everybody but guests, by e-mail address."""
    cursor = conn.cursor(row_factory=class_row(Person))
    query = f"select {_COLUMNS} from corpuscope.people where not is_guest order by lower(email)"
    return cursor.execute(query.encode()).fetchall()


def add_person(
    conn: Connection[Any],
    email: str | None,
    name: str = "",
    *,
    password_hash: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
    as_administrator: bool = False,
    as_guest: bool = False,
) -> UUID:
    """Make an account; its id. Raises :class:`InvalidInput` if the address has one, which ends the transaction."""
    address = None if email is None else require_email(email)
    try:
        row = conn.execute(
            "select corpuscope.add_person(%s, %s, %s, %s, %s, %s, %s)",
            [address, tidy_label(name, 200), password_hash, issuer, subject, as_administrator, as_guest],
        ).fetchone()
    except psycopg.errors.UniqueViolation as error:
        raise InvalidInput("There is an account with this e-mail address already.", hint="Sign in to it.") from error
    assert row is not None
    return UUID(str(row[0]))


def take_over_local(
    conn: Connection[Any],
    email: str,
    name: str,
    password_hash: str | None,
    issuer: str | None = None,
    subject: str | None = None,
) -> UUID:
    """Make the local user's account that of the first person who signs in: what was made before is theirs.

    Raises :class:`NotAllowed` if anybody has an account already; of two at once, one gets it.
    """
    # The row lock makes the second wait, and then see the first one's account.
    local = find_person(conn, LOCAL_USER, lock=True)
    if local is None or local.disabled_at is not None or has_accounts(conn):
        raise NotAllowed("The first account of this installation was made already.", hint="Sign in to yours.")
    conn.execute(
        "update corpuscope.people set email = %s, name = %s, password_hash = %s, issuer = %s, subject = %s,"
        " password_changed_at = case when %s then now() end, is_administrator = true where user_id = %s",
        [
            require_email(email),
            tidy_label(name, 200),
            password_hash,
            issuer,
            subject,
            password_hash is not None,
            LOCAL_USER,
        ],
    )
    return LOCAL_USER


def link_to_provider(conn: Connection[Any], user_id: UUID, issuer: str, subject: str) -> None:
    """Make an account that of a person at an OpenID provider. Its password, which anybody may have set, goes."""
    conn.execute(
        "update corpuscope.people set issuer = %s, subject = %s, password_hash = null where user_id = %s",
        [issuer, subject, user_id],
    )


def set_password(conn: Connection[Any], user_id: UUID, hash: str) -> None:
    """Give a person a new password, known by its hash. Links to choose another one stop working."""
    conn.execute(
        "update corpuscope.people set password_hash = %s, password_changed_at = now() where user_id = %s",
        [hash, user_id],
    )
    conn.execute(
        "update corpuscope.password_resets set used_at = now() where user_id = %s and used_at is null", [user_id]
    )


def renew_hash(conn: Connection[Any], user_id: UUID, hash: str) -> None:
    """Keep the same password under today's parameters."""
    conn.execute("update corpuscope.people set password_hash = %s where user_id = %s", [hash, user_id])
