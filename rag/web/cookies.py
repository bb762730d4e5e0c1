"""Cookies: which there are, how they are set, and how they are read from and kept out of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import SimpleCookie

Headers = Iterable[tuple[bytes, bytes]]

#: The signed token of a session.
SESSION = "corpuscope_session"
#: Where somebody wanted to go, while an OpenID provider has them.
NEXT = "corpuscope_next"
#: The token of an invitation, between opening its link and accepting it.
INVITATION = "corpuscope_invitation"
#: The token of a link to choose a new password, likewise.
RESET = "corpuscope_reset"
#: The random id of a sign-in that is under way at a Supabase project.
FLOW = "corpuscope_flow"
#: That the set-up code was typed, so that the first account may be made.
SETUP = "corpuscope_setup"
#: Why a sign-in through a provider was refused, for the page that comes next.
NOTICE = "corpuscope_notice"


def read_cookies(headers: Headers) -> dict[str, str]:
    """The cookies of a request; of two with one name the first, which has the longer path."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, content = pair.strip().partition("=")
                found.setdefault(key, content.strip('"'))
    return found


def without_cookies(headers: Headers, names: Iterable[str]) -> list[tuple[bytes, bytes]]:
    """The headers of a request as what lies behind the gate may see them: it has no use for our secrets."""
    kept: list[tuple[bytes, bytes]] = []
    hidden = set(names)
    for name, value in headers:
        if name != b"cookie":
            kept.append((name, value))
            continue
        pairs = [pair.strip() for pair in value.split(b";")]
        rest = [pair for pair in pairs if pair.partition(b"=")[0].decode("latin-1") not in hidden]
        if rest:
            kept.append((name, b"; ".join(rest)))
    return kept


def set_cookie(name: str, value: str, *, max_age: int, secure: bool) -> str:
    """The header's value. No script reads it, and no other site's form or frame sends it along."""
    parts = [f"{name}={value}", "Path=/", f"Max-Age={max_age}", "HttpOnly", "SameSite=Lax"]
    return "; ".join([*parts, "Secure"] if secure else parts)


def drop_cookie(name: str, *, secure: bool) -> str:
    """The header's value that makes the browser forget a cookie."""
    return set_cookie(name, "", max_age=0, secure=secure)


def cookies_set(headers: Headers) -> Mapping[str, str]:
    """The cookies that a response sets."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name.lower() == b"set-cookie":
            jar: SimpleCookie = SimpleCookie()
            jar.load(value.decode("latin-1"))
            found.update({key: morsel.value for key, morsel in jar.items()})
    return found
