"""Two selections beside each other: how large each is, and which words tell one from the other."""

from __future__ import annotations

import streamlit as st

from pages.parts import explore_state
from pages.parts.session import connect
from pages.parts.words import count, plain
from rag.curation.selecting import Selection, Summary, summarise
from rag.mapping.maps import CorpusMap

_KEPT = "curate_kept"


def compare(map_: CorpusMap, selection: Selection, found: Summary) -> None:
    """Keep this selection for later, or show it beside the one that was kept."""
    kept: tuple[int, str] | None = st.session_state.get(_KEPT)
    text = selection.to_text()
    if kept is None or kept[0] != map_.id:
        st.button(
            "Compare with another selection",
            icon=":material/compare_arrows:",
            key="curate_keep",
            type="tertiary",
            on_click=_keep,
            args=(map_.id, text),
            help="Keep this one in mind, then select another",
        )
        return
    with st.container(border=True, key="curate-compare", gap="small"):
        st.markdown("**Compared with the selection before**")
        if kept[1] == text:
            st.caption("This is it: now select another.")
        else:
            _beside(map_, selection, Selection.from_text(kept[1]))
        st.button("Stop comparing", key="curate_forget", type="tertiary", icon=":material/close:", on_click=_forget)


def _beside(map_: CorpusMap, now: Selection, before: Selection) -> None:
    for title, one, other in (("This", now, before), ("Before", before, now)):
        found = _against(map_, one, other)
        words = " ".join(f":blue-badge[{plain(word)}]" for word, _ in found.words[:8]) or ":gray[no words of its own]"
        st.markdown(f"{title}: {count(found.chunks, 'passage')} of {count(found.documents, 'document')}  \n{words}")


def _against(map_: CorpusMap, one: Selection, other: Selection) -> Summary:
    def read() -> Summary:
        with connect() as conn:
            return summarise(conn, map_.id, one, other)

    return explore_state.keep(("compared", map_.id, map_.version, one.to_text(), other.to_text()), read)


def _keep(map_id: int, text: str) -> None:
    st.session_state[_KEPT] = (map_id, text)


def _forget() -> None:
    st.session_state.pop(_KEPT, None)
