"""Who calls, as far as sessions are listed and attempts are counted by it."""

from __future__ import annotations

import re

from starlette.requests import Request

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def describe_caller(request: Request) -> tuple[str, str]:
    """The device in words, as in "Firefox on Windows", and the network address.

    Behind a proxy on this machine the address is the one that the proxy names (X-Forwarded-For), which the server
    believes of nobody else.
    """
    return describe_device(request.headers.get("user-agent", "")), request.client.host if request.client else ""


def describe_device(agent: str) -> str:
    """What people recognise in a browser's long name for itself."""
    browser = next((name for mark, name in _BROWSERS if re.search(rf"\b{mark}/", agent)), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or agent.partition("/")[0][:40] or "Unknown device"
