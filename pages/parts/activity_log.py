"""The audit list of the whole installation, or of what one person did: filtered, page by page, and as a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pandas as pd
import psycopg
import streamlit as st

from pages.parts.activity import CSV_COLUMNS, MOST_ROWS, csv_rows
from pages.parts.downloads import as_visitor, file_name, to_csv
from pages.parts.session import connect, require_user
from pages.parts.words import clock
from rag.auth.administration import list_people, note_list_export
from rag.corpus.audit import AuditEntry, describe, list_entries

PAGE = 50
#: What was asked for and where the pages begin that were turned; the last one is shown. Other filters start anew.
_TRAIL = "activity_trail"

_SHARING = ("shared", "role changed", "access removed", "left", "inherited", "made public", "made private")
_ACCOUNTS = (
    "account made", "account deleted", "account closed", "account opened", "account linked", "made administrator",
    "no longer administrator", "name changed", "limits changed",
)  # fmt: skip
_SIGN_INS = (
    "signed in", "sign-in failed", "locked out", "signed out", "signed out everywhere", "session ended",
    "guest entered", "password changed", "password reset", "password reset link made",
)  # fmt: skip
_CONTENT = (
    "collection made", "collection renamed", "collection deleted", "documents deleted",
    "documents put in the trash", "documents moved", "profile saved",
    "profile made default", "profile default undone", "profile deleted", "index build begun", "index made active",
    "index dropped",
)  # fmt: skip
KINDS: dict[str, Sequence[str] | None] = {
    "Everything": None,
    "Sign-ins and passwords": _SIGN_INS,
    "Accounts and limits": _ACCOUNTS,
    "Invitations": ("invited", "invitation accepted", "invitation revoked"),
    "Sharing": _SHARING,
    "Collections and documents": _CONTENT,
    "Downloads": ("exported",),
}


@dataclass(frozen=True)
class Wanted:
    """What of the list is asked for."""

    actor: UUID | None = None
    kind: str = "Everything"
    text: str = ""

    def read(self, conn: psycopg.Connection[Any], *, limit: int, before: int | None = None) -> list[AuditEntry]:
        """The latest entries of it."""
        return list_entries(
            conn, actor=self.actor, actions=KINDS[self.kind], text=self.text, limit=limit, before=before
        )


def show_all_activity() -> None:
    """The administrator's tab."""
    with connect() as conn:
        names = {one.user_id: one.label for one in list_people(conn)}
    bar = st.container(horizontal=True, vertical_alignment="center", key="activity-filters")
    with bar:
        actor = st.selectbox(
            "Who",
            list(names),
            index=None,
            format_func=lambda key: names.get(key, ""),
            placeholder="Anybody",
            key="activity_who",
            label_visibility="collapsed",
            width=220,
        )
        wanted = _filters(Wanted(actor))
        st.space("stretch")
        _download(wanted, noted=True)
    _show(wanted)


def show_own_activity() -> None:
    """On the account page: what the person did."""
    bar = st.container(horizontal=True, vertical_alignment="center", key="activity-filters")
    with bar:
        wanted = _filters(Wanted(require_user().user_id))
        st.space("stretch")
        _download(wanted, noted=False)
    _show(wanted)


def _filters(wanted: Wanted) -> Wanted:
    kind = st.selectbox("What", list(KINDS), key="activity_kind", label_visibility="collapsed", width=230)
    text = st.text_input(
        "Contains",
        key="activity_text",
        placeholder="Name, address, word",
        label_visibility="collapsed",
        icon=":material/filter_list:",
        width=220,
        type="search",
    )
    return replace(wanted, kind=kind, text=(text or "").strip())


def hand_out(wanted: Wanted, *, noted: bool) -> Callable[[], bytes]:
    """What the filters let through, as a file; ``noted`` makes taking it out an entry too."""

    def make(conn: psycopg.Connection[Any]) -> bytes:
        entries = wanted.read(conn, limit=MOST_ROWS)
        if noted:
            note_list_export(conn, "the list of activity", len(entries))
        return to_csv(csv_rows(entries), CSV_COLUMNS)

    return as_visitor(make)


def _download(wanted: Wanted, *, noted: bool) -> None:
    st.download_button(
        "CSV",
        hand_out(wanted, noted=noted),
        file_name=file_name("activity"),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="activity_csv",
        help=f"What the filters let through as a CSV file, {MOST_ROWS:,} entries at most",
    )


def _show(wanted: Wanted) -> None:
    trail = _trail(wanted)
    with connect() as conn:
        entries = wanted.read(conn, limit=PAGE + 1, before=trail[-1] if trail else None)
    if not entries:
        st.caption("Nothing like that was done." if wanted.text or wanted.kind != "Everything" else "Nothing yet.")
    else:
        _table(entries[:PAGE])
    with st.container(horizontal=True, vertical_alignment="center"):
        if trail:
            st.button(
                "Newer",
                key="newer",
                icon=":material/chevron_left:",
                type="tertiary",
                on_click=_turn,
                args=(wanted, trail[:-1]),
            )
        if len(entries) > PAGE:
            st.button(
                "Older",
                key="older",
                icon=":material/chevron_right:",
                icon_position="right",
                type="tertiary",
                on_click=_turn,
                args=(wanted, [*trail, entries[PAGE - 1].id]),
            )


def _table(entries: Sequence[AuditEntry]) -> None:
    me = require_user().user_id
    config = st.column_config
    st.dataframe(
        pd.DataFrame([activity_row(entry, me) for entry in entries]),
        key="activity-table",
        hide_index=True,
        row_height=35,
        height=37 + 35 * min(len(entries), 14),
        column_config={
            "When": config.TextColumn(width=110),
            "What": config.TextColumn(width=520),
            "Collection": config.TextColumn(width=150),
            "From": config.TextColumn(width=190),
        },
        alt="What was done, newest first",
    )


def activity_row(entry: AuditEntry, me: UUID) -> dict[str, object]:
    """One entry in words."""
    place = [str(entry.detail[key]) for key in ("device", "address") if entry.detail.get(key)]
    return {
        "When": clock(entry.at),
        "What": describe(entry, me),
        "Collection": entry.collection_name or "",
        "From": ", ".join(place),
    }


def _trail(wanted: Wanted) -> list[int]:
    asked, trail = st.session_state.get(_TRAIL, (wanted, []))
    return list(trail) if asked == wanted else []


def _turn(wanted: Wanted, trail: list[int]) -> None:
    st.session_state[_TRAIL] = (wanted, trail)
