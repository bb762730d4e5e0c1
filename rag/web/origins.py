"""Where a request comes from, and where it may go on to: other sites neither act here nor are gone to from here."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, unquote, urlsplit

Headers = Iterable[tuple[bytes, bytes]]

#: Nobody wants to come back to these after signing in.
_NOT_A_GOAL = ("/sign-", "/join", "/reset", "/forgot", "/guest", "/auth/", "/oauth2callback", "/web/", "/_stcore/")
_LONGEST_GOAL = 2000


def header(headers: Headers, name: bytes) -> str:
    """The first value of a header, or an empty string."""
    return next((value.decode("latin-1") for key, value in headers if key == name), "")


def is_same_origin(headers: Headers, public_url: str) -> bool:
    """Whether a page of ours made this request, by what the browser says of it.

    A browser names the origin of every form it posts. Sec-Fetch-Site, where it is sent, must agree. Without either it
    is not a page of ours.
    """
    headers = list(headers)
    site = header(headers, b"sec-fetch-site")
    if site and site != "same-origin":
        return False
    return bool(site) if not header(headers, b"origin") else names_our_origin(headers, public_url)


def names_our_origin(headers: Headers, public_url: str) -> bool:
    """Whether the Origin header, which browsers also send with every socket they open, is this address."""
    headers = list(headers)
    origin, host = header(headers, b"origin"), header(headers, b"host")
    if public_url and (origin == public_url or urlsplit(public_url).netloc == host):
        return origin == public_url
    return bool(origin) and origin != "null" and urlsplit(origin).netloc == host


def local_goal(text: str) -> str:
    """An address of ours to go to after signing in; ``/`` for anything that might lead elsewhere."""
    if not text.startswith("/") or len(text) > _LONGEST_GOAL:
        return "/"
    plain = unquote(text)
    if any(ord(letter) < 33 or letter in "\\\x7f" for letter in text) or not plain.isprintable() or "\\" in plain:
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or plain.startswith("//") or parts.path.startswith(_NOT_A_GOAL):
        return "/"
    return text


def with_goal(path: str, goal: str) -> str:
    """``path`` with ``goal`` as its ``next``."""
    return path if goal == "/" else f"{path}?next={quote(goal, safe='/')}"


def goal_of(path: str, query: bytes) -> str:
    """The address that was asked for, as a goal."""
    asked = quote(path, safe="/-_.~") + (f"?{query.decode('latin-1')}" if query else "")
    return local_goal(asked)
