"""The question on the map and the settings that it is asked with: what the Search lab has, as far as it fits beside."""

from __future__ import annotations

from html import escape

import streamlit as st

from pages.parts import explore_state
from pages.parts.ask_map_state import QUESTION, AskDesk, key_of, read_controls, show_in_controls, side_of
from pages.parts.asking import describe_baseline
from pages.parts.lab_address import MAX_QUESTION, Side
from pages.parts.lab_controls import HELP, MODES
from pages.parts.lab_profiles import label
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import describe_changes

_PROFILE = "ask_profile"
_BUILT_IN = "Built-in settings"


def question_field() -> str:
    """Where the question is typed; what it says."""
    st.session_state[QUESTION] = explore_state.look().question
    st.text_input(
        "Question",
        key=QUESTION,
        placeholder="Where would its answer lie?",
        type="search",
        icon=":material/search:",
        max_chars=MAX_QUESTION,
        on_change=lambda: explore_state.change(question=(st.session_state[QUESTION] or "").strip()),
    )
    return explore_state.look().question


def ask_this(question: str) -> None:
    """Callback of the sample questions."""
    explore_state.change(question=question)


def settings_controls(desk: AskDesk) -> RetrievalProfile:
    """The profile and its sliders; the settings that they come to."""
    side = explore_state.look().side
    profile = side.apply(desk.begun(side))
    show_in_controls(profile)
    _pick_profile(desk)
    _sliders(desk, profile)
    with st.expander("More settings", icon=":material/tune:", key="ask-more", type="compact"):
        _more(desk, profile)
    _show_changes(desk, profile)
    return profile


def _moved(desk: AskDesk) -> None:
    """Callback of every control."""
    side = explore_state.look().side
    explore_state.change(side=side_of(desk.find(side), read_controls(desk.begun(side))))


def _pick_profile(desk: AskDesk) -> None:
    chosen = desk.find(explore_state.look().side)
    names = list(dict.fromkeys(one.name for one in desk.stored))
    if desk.default is None or chosen is None:
        names.insert(0, "")
    default = desk.default.name if desk.default else ""
    st.session_state[_PROFILE] = chosen.name if chosen else ""
    st.selectbox(
        "Profile",
        names,
        format_func=lambda name: (name or _BUILT_IN) + (" (default)" if name == default else ""),
        key=_PROFILE,
        on_change=_choose,
        help="Settings of a search under a name. The Search lab saves them and makes one the default.",
    )


def _choose() -> None:
    explore_state.change(side=Side(st.session_state[_PROFILE] or None))


def _sliders(desk: AskDesk, now: RetrievalProfile) -> None:
    st.slider("Passages", 1, max(50, now.k), key=key_of("k"), help=HELP["k"], on_change=_moved, args=(desk,))
    st.slider(
        "Least similarity",
        0.0,
        1.0,
        step=0.01,
        key=key_of("threshold"),
        help="Passages whose embedding is less similar to the question are left out; a higher value never adds one. "
        f"0 keeps all.\n\n{describe_baseline(desk.baseline)}",
        on_change=_moved,
        args=(desk,),
    )


def _more(desk: AskDesk, now: RetrievalProfile) -> None:
    st.segmented_control(
        "Method",
        list(MODES),
        required=True,
        format_func=MODES.__getitem__,
        key=key_of("mode"),
        help=HELP["mode"],
        on_change=_moved,
        args=(desk,),
    )
    st.slider(
        "Meaning against words",
        0.0,
        1.0,
        step=0.05,
        key=key_of("dense_weight"),
        disabled=now.mode != "hybrid" or now.fusion != "convex",
        help=HELP["dense_weight"],
        on_change=_moved,
        args=(desk,),
    )
    st.slider(
        "Diversity",
        0.0,
        1.0,
        step=0.05,
        key=key_of("diversity"),
        help=HELP["diversity"],
        on_change=_moved,
        args=(desk,),
    )


def _show_changes(desk: AskDesk, profile: RetrievalProfile) -> None:
    stored = desk.find(explore_state.look().side)
    changes = describe_changes(desk.begun(explore_state.look().side), profile)
    if not changes:
        return
    items = "".join(f"<li>{escape(change.words)}</li>" for change in changes)
    with st.container(horizontal=True, vertical_alignment="center", key="ask-changes", gap="small"):
        st.html(
            f'<div class="cs-changes"><b>Changed from {escape(label(stored))}</b><ul>{items}</ul></div>',
            width="stretch",
        )
        st.button(
            "",
            icon=":material/restart_alt:",
            key="ask_reset",
            type="tertiary",
            help="Back to the saved settings",
            on_click=lambda: explore_state.change(side=Side(stored.name, stored.version) if stored else Side()),
        )
