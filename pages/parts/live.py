"""Draw a fragment again when something has changed: no timers, one socket a page to :mod:`rag.web.live`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.parts.product import product

#: The name that the component has in pyproject.toml, after the distribution's.
COMPONENT = "corpuscope.live"
_PATH = "/api/live"


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(COMPONENT, js="listen-*.js", html="<span hidden></span>\n")


def listen_live(key: str, topics: Sequence[str], *, after: int | None = None) -> int:
    """Run the enclosing fragment (or page) again after each hint on ``topics``; how many runs hints have led to.

    Topics are ``chat:<id>``, ``presence:<chat>``, ``message:<id>`` and ``documents:<collection>``; ``presence`` also
    says that the page is open. Draws nothing. ``after`` is the feed's position from before what is shown was read:
    with it, nothing in between is missed.
    """
    feed = product().feed
    assert feed is not None, "a page calls require_database() first"
    position = feed.position() if after is None else after
    data = {
        "path": _PATH,
        "topics": ",".join(topics),
        "after": f"{feed.name}.{position}",
        "seen": _count(st.session_state.get(key, {})),
    }
    with st.container(key=f"live-socket-{key}"):
        return _count(_component()(key=key, data=data, on_hints_change=_nothing, height="content"))


def feed_position() -> int:
    """Now, for ``after`` of :func:`listen_live`: taken before rows are read."""
    feed = product().feed
    assert feed is not None, "a page calls require_database() first"
    return feed.position()


def _count(state: Any) -> int:
    count = state.get("hints")
    return count if isinstance(count, int) and not isinstance(count, bool) else 0


def _nothing() -> None:
    """A state's callback: without one, its value would be missing until it first changes."""
