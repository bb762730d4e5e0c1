"""Near-duplicates: a slider, and the groups that it leaves, each with what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.confirmation import open_dialog
from pages.parts.explore_address import explore_query
from pages.parts.health_acts import keep_as_is, keep_one, merge
from pages.parts.health_pair import pair_html
from pages.parts.health_words import MEASURE, describe_copy
from pages.parts.session import connect
from pages.parts.words import count
from rag.health.differences import compare
from rag.health.duplicates import Group, Member
from rag.health.health_lists import Passage, read_passages
from rag.records import Collection

#: Where the slider stands at first.
THRESHOLD = 0.7
SLIDER = "health_similarity"
_PAGE = 8
_SHOWN = "health_groups_shown"
#: Others of one group that can be looked at one by one.
_MOST_OTHERS = 50


def pick_threshold(floor: float) -> None:
    """The slider; moving it asks nothing of the worker."""
    st.slider("Phrases in common, at least", round(floor, 2), 1.0, THRESHOLD, 0.05, key=SLIDER, help=MEASURE, width=420)


def show_groups(collection: Collection, groups: Sequence[Group], *, editable: bool) -> None:
    """The groups, the largest first, some at a time."""
    copies = sum(len(group.members) - 1 for group in groups)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f"{count(len(groups), 'group')} · {count(copies, 'copy', 'copies')} beside the ones that stay",
            width="stretch",
        )
        if (
            editable
            and len(groups) > 1
            and st.button("Keep one of each…", icon=":material/filter_1:", key="health_keep_each")
        ):
            open_dialog("Keep one of each group", "filter_1", lambda: _confirm_all(collection, groups, copies))
    shown = int(st.session_state.get(_SHOWN, _PAGE))
    some = groups[:shown]
    with connect() as conn:
        passages = read_passages(
            conn, [member.chunk_id for group in some for member in group.members[: _MOST_OTHERS + 1]]
        )
    for group in some:
        _group(collection, group, passages, editable=editable)
    if len(groups) > shown:
        st.button(f"Show {min(_PAGE, len(groups) - shown)} more", key="health_more", on_click=_show_more, args=(shown,))


def _show_more(shown: int) -> None:
    st.session_state[_SHOWN] = shown + _PAGE


def _confirm_all(collection: Collection, groups: Sequence[Group], copies: int) -> None:
    st.markdown(
        f"- {count(copies, 'passage')} of {count(len(groups), 'group')} will be left out of search, in one act.\n"
        "- The first of each group stays: the one that most others resemble.\n"
        "- Nothing is deleted; it can be undone."
    )
    if st.button("Leave the copies out", type="primary", key="health_keep_each_do"):
        keep_one(collection, [(group, group.members[0]) for group in groups])


def _group(collection: Collection, group: Group, passages: dict[int, Passage], *, editable: bool) -> None:
    there = [member for member in group.members if member.chunk_id in passages]
    if len(there) < 2:
        return
    with st.container(border=True, key=f"health-group-{group.key}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{count(len(group.members), 'passage')}** in {count(group.documents, 'document')}", width="stretch"
            )
            st.caption(_likeness(group), width="content")
        stays, other = _choose(group, there, passages)
        differences = compare(passages[stays.chunk_id].text, passages[other.chunk_id].text)
        st.html(pair_html(passages[stays.chunk_id], passages[other.chunk_id], differences))
        told = f" Phrases in common: {int(100 * other.score)}%." if stays == group.members[0] else ""
        st.caption(f"{describe_copy(differences)}{told}")
        _acts(collection, group, stays, editable=editable)


def _choose(group: Group, there: Sequence[Member], passages: dict[int, Passage]) -> tuple[Member, Member]:
    """Which one stays, and which of the others is beside it; two have no choice but to change places."""
    names = {place: _name(place, passages[member.chunk_id]) for place, member in enumerate(there)}
    with st.container(horizontal=True):
        stays = st.selectbox(
            "Stays",
            list(names),
            format_func=names.__getitem__,
            key=f"health_stays_{group.key}",
            width=320,
            help="The first is the one that most others resemble.",
        )
        others = [place for place in names if place != stays]
        other = others[0]
        if len(others) > 1:
            other = st.selectbox(
                "Beside it",
                others,
                format_func=names.__getitem__,
                key=f"health_other_{group.key}_{stays}",
                width=320,
            )
    return there[stays], there[other]


def _likeness(group: Group) -> str:
    if group.least >= 1.0:
        return "the same phrases in each"
    return f"{int(100 * group.least)}% of phrases in common, or more"


def _name(place: int, passage: Passage) -> str:
    return f"{place + 1}. {passage.document}" + (f", page {passage.page}" if passage.page else "")


def _acts(collection: Collection, group: Group, stays: Member, *, editable: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if editable:
            if st.button(
                "Keep one",
                icon=":material/filter_1:",
                key=f"health_keep_{group.key}",
                help="The others are left out of search.",
            ):
                keep_one(collection, [(group, stays)])
            if st.button(
                "Merge",
                icon=":material/merge:",
                key=f"health_merge_{group.key}",
                help="As keep one; and the one that stays gets the tags of the others.",
            ):
                merge(collection, group, stays)
            if st.button(
                "Keep all",
                icon=":material/done_all:",
                key=f"health_all_{group.key}",
                help="They are fine as they are: this group isn't shown again until another copy comes.",
            ):
                keep_as_is(collection, "duplicates", group.members)
        st.page_link(
            "pages/explore.py",
            label="On the map",
            icon=":material/scatter_plot:",
            query_params=explore_query(collection.id, chunks=[member.chunk_id for member in group.members]),
        )
