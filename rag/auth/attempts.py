"""How often something may be tried at the door, and the counting of tries before it is known whether they are right."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from psycopg import Connection

from rag.auth import throttles
from rag.store.database import Database


@dataclass(frozen=True, slots=True)
class Guard:
    """One thing whose tries are counted: ``limit`` failures within ``window_s`` block it for ``block_s``."""

    key: str
    limit: int
    window_s: float
    block_s: float


_QUARTER_HOUR = 900.0
_HOUR = 3600.0


def by_email(address: str) -> Guard:
    """Guesses at one account, whether it exists or not, from wherever they come."""
    return Guard(f"email {address}", 10, _QUARTER_HOUR, _QUARTER_HOUR)


def by_network(address: str) -> Guard:
    """Guesses from one place at whatever accounts."""
    return Guard(f"network {_network(address)}", 50, _QUARTER_HOUR, _QUARTER_HOUR)


def by_person(user_id: object) -> Guard:
    """Guesses at the password of somebody who is signed in: a browser that was left open."""
    return Guard(f"person {user_id}", 10, _QUARTER_HOUR, _QUARTER_HOUR)


def guests_by_network(address: str) -> Guard:
    """Guests that one place sends: each has questions of its own."""
    return Guard(f"guests {_network(address)}", 20, _HOUR, _HOUR)


def _network(address: str) -> str:
    """Whoever has one IPv6 address has 2⁶⁴ of them."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((int(ip), 64), strict=False))


def count_attempt(database: Database, *guards: Guard) -> list[int]:
    """Count a try under each guard before looking at the secret; how many each had of late.

    Raises :class:`SignInBlocked` if one of them is blocked. Tries side by side count each other, so a crowd of them
    gets no further than one after the other.
    """
    with database.as_accounts() as conn:
        throttles.check(conn, *(guard.key for guard in guards))
        counts = [
            throttles.note_failure(conn, guard.key, limit=guard.limit, window_s=guard.window_s, block_s=guard.block_s)
            for guard in guards
        ]
    for guard, count in zip(guards, counts, strict=True):
        if count > guard.limit:
            raise throttles.blocked(guard.block_s)
    return counts


def take_back(conn: Connection[Any], guard: Guard) -> None:
    """The try was right: it doesn't count."""
    throttles.give_back(conn, guard.key, limit=guard.limit)
