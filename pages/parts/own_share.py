"""What one uses of one's limits, and the collections that one sees because somebody shared them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.session import connect, require_user
from pages.parts.words import count, plain
from rag.corpus.collections import list_collections
from rag.corpus.limits import Usage, my_limits, say_bytes
from rag.corpus.sharing import leave, list_people_of
from rag.records import Collection

_LABELS = {"files": "Files", "bytes": "Space", "questions today": "Questions today"}


def show_usage() -> None:
    """What is used of each limit, and what is left."""
    with connect() as conn:
        usages = [usage for usage in my_limits(conn) if usage.scope == "person"]
    if require_user().is_guest:
        usages = [usage for usage in usages if usage.what == "questions today"]
    with st.container(border=True, key="usage", gap="small"):
        st.markdown("**What you use**")
        lines = "".join(f"<span>{_LABELS[usage.what]}</span><b>{say_usage(usage)}</b>" for usage in usages)
        st.html(f'<div class="cs-facts">{lines}</div>')
        if any(usage.allowed is not None for usage in usages):
            st.caption("An administrator sets the limits. Days end at midnight UTC.")


def say_usage(usage: Usage) -> str:
    """``3 of 500, 497 left``; without a limit only what is used."""
    say = say_bytes if usage.what == "bytes" else "{:,}".format
    if usage.allowed is None or usage.left is None:
        return f"{say(usage.used)}, no limit"
    return f"{say(usage.used)} of {say(usage.allowed)}, {say(usage.left)} left"


def show_shared() -> None:
    """Collections in which one is a member without being the only owner, each with the way out."""
    with connect() as conn:
        mine = [one for one in list_collections(conn) if one.is_member]
        owners = {one.id: _owners(conn, one) for one in mine}
    me = require_user().user_id
    shared = [one for one in mine if one.role != "owner" or len(owners[one.id]) > 1]
    st.subheader("Shared with you", anchor=False)
    if not shared:
        st.caption("Nobody shares a collection with you. What only you own is on the Documents page.")
        return
    with st.container(border=True, gap="small", key="shared-with-me"):
        for one in shared:
            _row(one, [name for user, name in owners[one.id] if user != me])


def _owners(conn: psycopg.Connection[Any], collection: Collection) -> list[tuple[UUID, str]]:
    people = list_people_of(conn, collection.id)
    return [(one.user_id, one.label) for one in people if one.role == "owner"]


def _row(collection: Collection, others: Sequence[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(":material/folder_open:", width="content")
        owners = f'<span class="cs-quiet">owned by {escape(", ".join(others[:3]))}</span>' if others else ""
        st.html(f'<div class="cs-head"><b>{escape(collection.name)}</b>{owners}</div>', width="stretch")
        st.badge(collection.role.capitalize(), color="gray")
        st.caption(count(collection.document_count, "document"), width="content")
        st.page_link(
            "pages/documents.py",
            label="Open",
            query_params={"collection": str(collection.id)},
            icon=":material/arrow_forward:",
        )
        if st.button("Leave", key=f"leave-{collection.id}", type="tertiary", icon=":material/logout:"):
            confirm(leaving(collection))


def leaving(collection: Collection) -> Act:
    """Give up one's own access."""
    name = plain(collection.name)
    effects = [
        f"You can't open its {count(collection.document_count, 'document')} any more, until an owner shares it again.",
        "What you added to it stays. Your chats about it can't be read any more either.",
    ]
    if collection.is_public:
        effects[0] = "You stay able to read it, since it is public, and can't change anything in it any more."
        effects[1] = "What you added to it stays, and so do your chats."
    return Act(
        f"Leave {name}?",
        effects,
        "Leave",
        partial(leave, collection_id=collection.id),
        f"You left {name}.",
        icon="logout",
    )
