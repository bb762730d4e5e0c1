"""The profile that the lab's controls began with: choose it, see what was changed, save, and make it the default."""

from __future__ import annotations

from html import escape

import streamlit as st

from pages.parts.confirmation import Act, close_dialog, confirm, open_dialog
from pages.parts.guests import is_guest
from pages.parts.lab_desk import BUILT_IN, Desk
from pages.parts.lab_state import base, base_profile, set_base, set_controls
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import ago, plain, show_error
from rag.errors import CorpuscopeError
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import (
    MAX_NAME,
    StoredProfile,
    delete_profile,
    describe_changes,
    make_default,
    save_profile,
    undo_default,
)

_NAME, _VERSION = "lab_profile", "lab_version"
_BUILT_IN = "Built-in settings"


def label(stored: StoredProfile | None) -> str:
    """What a profile is called in one line."""
    return _BUILT_IN if stored is None else f"{stored.name} v{stored.version}"


def pick_profile(desk: Desk) -> None:
    """Which saved profile to begin with, and which of its versions; picking one moves all controls."""
    chosen = base()
    names = list(dict.fromkeys(one.name for one in desk.stored))
    if desk.default is None or chosen is None:
        names.insert(0, "")
    default = desk.default.name if desk.default else ""
    st.session_state[_NAME] = chosen.name if chosen else ""
    st.selectbox(
        "Profile",
        names,
        format_func=lambda name: (name or _BUILT_IN) + (" (default)" if name == default else ""),
        key=_NAME,
        on_change=_choose,
        args=(desk,),
        help="Settings of a search under a name. The default is what search, chat and evaluation use.",
    )
    versions = [one for one in desk.stored if chosen and one.name == chosen.name]
    if chosen is None or len(versions) < 2:
        return
    by_number = {one.version: one for one in versions}
    st.session_state[_VERSION] = chosen.version
    st.selectbox(
        "Version",
        list(by_number),
        format_func=lambda number: _describe_version(by_number[number], versions[0].version),
        key=_VERSION,
        on_change=_choose_version,
        args=(by_number,),
    )


def _describe_version(stored: StoredProfile, newest: int) -> str:
    marks = [word for word, holds in (("newest", stored.version == newest), ("default", stored.is_default)) if holds]
    return f"v{stored.version} · {ago(stored.created_at)}" + (f" ({', '.join(marks)})" if marks else "")


def _choose(desk: Desk) -> None:
    name = st.session_state[_NAME]
    begin_with(next((one for one in desk.stored if one.name == name), None))


def _choose_version(versions: dict[int, StoredProfile]) -> None:
    begin_with(versions[st.session_state[_VERSION]])


def begin_with(stored: StoredProfile | None) -> None:
    """Move all controls to that profile; changes are counted from it."""
    set_base(stored)
    set_controls(stored.profile if stored else BUILT_IN)


def show_changes(desk: Desk, profile: RetrievalProfile) -> None:
    """What differs from the saved profile, and what can be done with it."""
    stored = base()
    changes = describe_changes(base_profile(), profile)
    if changes:
        items = "".join(f"<li>{escape(change.words)}</li>" for change in changes)
        st.html(f'<div class="cs-changes"><b>Changed from {escape(label(stored))}</b><ul>{items}</ul></div>')
    elif stored is not None and stored.is_default:
        st.html('<p class="cs-quiet cs-flat">Search, chat and evaluation use this profile.</p>')
    with st.container(horizontal=True, gap="small", key="lab-profile-acts"):
        if changes:
            st.button("Reset", icon=":material/restart_alt:", key="lab_reset", on_click=begin_with, args=(stored,))
        if is_guest():
            return
        _acts(desk, stored, profile, changed=bool(changes))
    if not desk.may_edit:
        st.html('<p class="cs-quiet cs-flat">Editors of this collection can save profiles.</p>')


def _acts(desk: Desk, stored: StoredProfile | None, profile: RetrievalProfile, *, changed: bool) -> None:
    if not desk.may_edit:
        return
    if changed and stored is not None:
        if st.button("Save new version", icon=":material/save:", key="lab_save"):
            _save(desk, stored.name, profile)
        if st.button("Save as…", icon=":material/save_as:", key="lab_save_as"):
            _ask_name(desk, profile)
        return
    if st.button("Save as…", icon=":material/save_as:", key="lab_save_as"):
        _ask_name(desk, profile)
    if stored is None:
        return
    if not stored.is_default and st.button("Make default", icon=":material/star:", key="lab_make_default"):
        _ask_default(desk, stored)
    if stored.is_default and st.button("Default before", icon=":material/undo:", key="lab_undo_default"):
        _ask_undo(desk)
    is_default = desk.default is not None and desk.default.name == stored.name
    if not is_default and st.button("Delete", icon=":material/delete:", key="lab_delete"):
        _ask_delete(desk, stored)


def _save(desk: Desk, name: str, profile: RetrievalProfile) -> None:
    try:
        with connect() as conn:
            saved = save_profile(conn, desk.collection.id, name, profile)
    except CorpuscopeError as error:
        show_error(error)
        return
    set_base(saved)
    notify(f"Saved as {plain(label(saved))}. The default stays what it was.", icon="save")
    st.rerun()


def _ask_name(desk: Desk, profile: RetrievalProfile) -> None:
    taken = {one.name for one in desk.stored}

    def draw() -> None:
        with st.form("lab_save_form", border=False):
            name = st.text_input("Name", max_chars=MAX_NAME, placeholder="Careful").strip()
            sure = st.form_submit_button("Save profile", type="primary")
        if sure and name in taken:
            st.warning(f"There is a profile named {plain(name)}. Choose another name, or save a new version of it.")
        elif sure:
            _save(desk, name, profile)

    open_dialog("Save profile as", "save_as", draw)


def _ask_default(desk: Desk, stored: StoredProfile) -> None:
    before = desk.default.profile if desk.default else BUILT_IN
    changes = [plain(change.words) for change in describe_changes(before, stored.profile)]
    was = plain(label(desk.default))
    confirm(
        Act(
            f"Make {plain(label(stored))} the default?",
            [
                "Search, chat, evaluation and the command line use it from then on, for everybody in this collection.",
                *(changes or [f"No setting differs from {was}."]),
                f"Answers that were given under {was} stay as they are.",
            ],
            "Make default",
            lambda conn: make_default(conn, stored.id),
            f"{plain(label(stored))} is the default now.",
            lambda conn: undo_default(conn, desk.collection.id),
            icon="star",
        )
    )


def _ask_undo(desk: Desk) -> None:
    confirm(
        Act(
            "Go back to the default before?",
            [f"{plain(label(desk.default))} stays saved. What was the default before it is the default again."],
            "Go back",
            lambda conn: undo_default(conn, desk.collection.id),
            "The default before is the default again.",
            icon="undo",
        )
    )


def _ask_delete(desk: Desk, stored: StoredProfile) -> None:
    versions = sum(one.name == stored.name for one in desk.stored)

    def begin_anew() -> None:
        close_dialog()
        try:
            with connect() as conn:
                delete_profile(conn, desk.collection.id, stored.name)
        except CorpuscopeError as problem:
            show_error(problem)
            return
        begin_with(desk.default)
        notify(f"{plain(stored.name)} was deleted.", icon="delete")

    def draw() -> None:
        st.markdown(
            f"- {plain(stored.name)} goes with all of its versions ({versions}).\n"
            "- Evaluation runs and answers keep the settings that they were made with.\n"
            "- This can't be undone."
        )
        with st.container(horizontal=True, horizontal_alignment="right"):
            st.button("Keep it", key="lab_delete_keep", on_click=close_dialog)
            st.button("Delete profile", key="lab_delete_do", type="primary", on_click=begin_anew)

    open_dialog(f"Delete {plain(stored.name)}?", "delete", draw)
