"""Limits of all people, guests and collections, and of those that have their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from uuid import UUID

import streamlit as st

from pages.parts.confirmation import Act, confirm
from pages.parts.limits_form import change_limits, foresee_for, setting
from pages.parts.limits_words import SCOPES, Held, Limits, effective, find_limits, held_by, say
from pages.parts.session import connect
from pages.parts.words import count, plain
from rag.auth.administration import LimitRow, Scope, list_all_collections, list_limits, list_people

#: Own limits that are listed; the tables of people and collections lead to the others.
MOST = 30
_KINDS: dict[Scope, str] = {"person": "Person", "collection": "Collection"}
_ICONS: dict[Scope, str] = {"person": "person", "guest": "person_off", "collection": "folder_open"}

Everybody = Mapping[tuple[Scope, UUID], Held]


def show_limits(*, guests: bool = True) -> None:
    """The tab: defaults, then exceptions."""
    with connect() as conn:
        rows = list_limits(conn)
        held = held_by(list_people(conn), list_all_collections(conn))
    st.caption(
        "The database keeps these limits, whichever way somebody comes. A refusal says which limit was reached and "
        "what is left."
    )
    scopes: list[Scope] = ["person", "guest", "collection"] if guests else ["person", "collection"]
    with st.grid(len(scopes), min_column_width=240):
        for scope in scopes:
            _default(scope, rows, held)
    st.subheader("Own limits", anchor=False)
    own = [row for row in rows if row.subject is not None]
    _pick(rows, held)
    if not own:
        st.caption("Nobody and nothing has limits of its own.")
        return
    with st.container(border=True, gap="small", key="own-limits"):
        for row in own[:MOST]:
            _own(row, rows, held)
        if len(own) > MOST:
            st.caption(f"and {count(len(own) - MOST, 'other')}: pick them above.")


def _default(scope: Scope, rows: Sequence[LimitRow], held: Everybody) -> None:
    limits = find_limits(rows, scope, None)
    with st.container(border=True, key=f"limits-{scope}", gap="small", height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/{_ICONS[scope]}: **{SCOPES[scope]}**", width="stretch")
            if st.button("Change", key=f"change-{scope}", type="tertiary", icon=":material/edit:"):
                change_limits(scope, None, "", limits, limits, _under_default(scope, rows, held))
        shown = say(limits)[2:] if scope == "guest" else say(limits)
        lines = "".join(f"<span>{name}</span><b>{value}</b>" for name, value in shown)
        st.html(f'<div class="cs-facts">{lines}</div>')
        if scope == "guest":
            st.caption("Guests read what is public, and store nothing.")


def _under_default(scope: Scope, rows: Sequence[LimitRow], held: Everybody) -> list[Held]:
    """Whom the default is for: everybody without limits of their own."""
    own = {(row.scope, row.subject) for row in rows if row.subject is not None}
    return [one for key, one in held.items() if key[0] == scope and key not in own]


def _pick(rows: Sequence[LimitRow], held: Everybody) -> None:
    keys = {f"{scope}-{subject}": (scope, subject) for scope, subject in held}
    if not keys:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = st.selectbox(
            "A person or a collection",
            list(keys),
            index=None,
            format_func=lambda key: f"{held[keys[key]].name} ({_KINDS[keys[key][0]].lower()})",
            key="own_limits_of",
            placeholder="A person or a collection",
            label_visibility="collapsed",
            width=360,
        )
        if st.button("Set own limits", key="own_limits", disabled=picked is None) and picked:
            change_own_limits(*keys[picked], rows, held)


def change_own_limits(scope: Scope, subject: UUID, rows: Sequence[LimitRow], held: Everybody) -> None:
    """Open the dialog for the limits of one person or collection."""
    use = held[scope, subject]
    change_limits(scope, subject, use.name, find_limits(rows, scope, subject), find_limits(rows, scope, None), [use])


def _own(row: LimitRow, rows: Sequence[LimitRow], held: Everybody) -> None:
    assert row.subject is not None
    use = held.get((row.scope, row.subject))
    if use is None:
        return
    limits = find_limits(rows, row.scope, row.subject)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f":material/{_ICONS[row.scope]}:", width="content")
        said = " · ".join(f"{name}: {value}" for name, value in say(effective(rows, row.scope, row.subject)))
        st.html(
            f'<div class="cs-head"><b>{escape(use.name)}</b><span class="cs-quiet">{said}</span></div>', width="stretch"
        )
        if st.button("Change", key=f"change-{row.subject}", type="tertiary"):
            change_own_limits(row.scope, row.subject, rows, held)
        if st.button("Back to default", key=f"default-{row.subject}", type="tertiary"):
            confirm(_back_to_default(row, limits, rows, use))


def _back_to_default(row: LimitRow, limits: Limits, rows: Sequence[LimitRow], use: Held) -> Act:
    act = setting(row.scope, row.subject, use.name, limits, Limits())
    effects = foresee_for(row.subject, limits, Limits(), find_limits(rows, row.scope, None), [use])
    return Act(f"Give {plain(use.name)} the default?", effects, "Back to default", act.do, act.done, act.undo)
