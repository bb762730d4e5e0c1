"""Acts of curation as pages do them: asked about where something is lost, said when done, with a way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts import confirmation, explore_state
from pages.parts.notices import offer_undo
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.corpus.collections import list_collections
from rag.corpus.documents import describe_deletion
from rag.curation import acts
from rag.curation.curation_log import Act, undo_act
from rag.errors import CorpuscopeError
from rag.records import Collection

Deed = Callable[[psycopg.Connection[Any]], Act]


def do_at_once(deed: Deed) -> None:
    """Do what loses nothing, offer to take it back, and draw the page anew."""
    try:
        with connect() as conn:
            act = deed(conn)
    except CorpuscopeError as error:
        show_error(error)
        return
    explore_state.renew()
    offer_undo(f"{plain(act.words)}.", lambda: take_back(act.id))
    st.rerun()


def take_back(act_id: int) -> None:
    """Undo an act, and have what is shown read anew."""
    with connect() as conn:
        undo_act(conn, act_id)
    explore_state.renew()


def ask(title: str, effects: Sequence[str], verb: str, icon: str, deed: Deed) -> None:
    """Open the dialog that says what will happen; done there, there is an Undo on the page."""
    done: list[Act] = []

    def do(conn: psycopg.Connection[Any]) -> None:
        done.append(deed(conn))
        explore_state.renew()

    def undo(conn: psycopg.Connection[Any]) -> None:
        undo_act(conn, done[-1].id)
        explore_state.renew()

    confirmation.confirm(confirmation.Act(title, effects, verb, do, "Done.", undo, icon))


def exclude(collection: Collection, spans: Sequence[acts.Stretch]) -> None:
    """Ask, then keep these out of search."""
    with connect() as conn:
        effect = acts.preview(conn, "exclude", spans)
    if not effect.passages:
        st.toast("All of them are left out of search already.", icon=":material/visibility_off:")
        return
    verb = "leaves" if effect.passages == 1 else "leave"
    ask(
        "Exclude from search",
        [
            f"**{passages(effect)}** {verb} search and chat, at once and in every index to come.",
            "They stay on the map and in their documents. Undo is here and in the log.",
        ],
        "Exclude",
        "visibility_off",
        lambda conn: acts.exclude(conn, collection.id, spans),
    )


def include(collection: Collection, spans: Sequence[acts.Stretch]) -> None:
    """Let these be found again; nothing is lost by it."""
    do_at_once(lambda conn: acts.include(conn, collection.id, spans))


def trash(collection: Collection, document_ids: Sequence[UUID], chunks: int | None = None) -> None:
    """Ask, then put whole documents in the trash; ``chunks`` of them were selected, where passages were."""
    with connect() as conn:
        gone = describe_deletion(conn, document_ids)
    one = gone["documents"] == 1
    effects = [
        f"**{count(gone['documents'], 'document')}** with {count(gone['chunks'], 'passage')} "
        f"{'goes' if one else 'go'} to the trash: out of search, chat, counts and evaluation at once.",
        f"{'It' if one else 'They'} can be restored for 30 days; after that it is for good.",
    ]
    if chunks is not None and chunks < gone["chunks"]:
        effects.insert(1, f"Whole documents go, also the {gone['chunks'] - chunks:,} passages that are not selected.")
    if gone["judgements"]:
        effects.append(f"{count(gone['judgements'], 'judgement')} of questions wait in the trash with them.")
    ask(
        "Delete documents",
        effects,
        "Put in the trash",
        "delete",
        lambda conn: acts.trash_documents(conn, collection.id, document_ids),
    )


def move(collection: Collection, document_ids: Sequence[UUID]) -> None:
    """A dialog that asks where to, says what will happen, and moves whole documents."""
    with connect() as conn:
        targets = {
            one.id: one
            for one in list_collections(conn)
            if one.id != collection.id and one.is_member and one.role in ("editor", "owner")
        }
    confirmation.open_dialog(
        "Move to another collection", "drive_file_move", lambda: _move(collection, document_ids, targets)
    )


def _move(collection: Collection, document_ids: Sequence[UUID], targets: dict[UUID, Collection]) -> None:
    if not targets:
        st.caption("There is no other collection that you may change. Make one on the Documents page.")
        return
    target: UUID = st.selectbox("To", list(targets), format_func=lambda one: targets[one].name, key="curate_target")
    with connect() as conn:
        check = acts.check_move(conn, document_ids, target)
    lines = [
        f"**{count(check.movable, 'document')}** leave this collection with their files, texts, tags and "
        f"exclusions, and are made searchable in **{plain(targets[target].name)}** by its own settings."
    ]
    if check.already_there:
        names = ", ".join(plain(name) for name in check.already_there[:3])
        lines.append(
            f"{count(len(check.already_there), 'document')} stay: the other collection has the file ({names})."
        )
    if check.judgements:
        lines.append(f"{count(check.judgements, 'judgement')} of questions here are put aside, and come back on undo.")
    lines.append("Answers that cite them keep their quotes.")
    st.markdown("\n".join(f"- {line}" for line in lines))
    act = confirmation.Act("Move", [], "Move", *_moving(collection, document_ids, target))
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.button("Keep as it is", key="curate_move_keep", on_click=confirmation.close_dialog)
        st.button(
            "Move",
            key="curate_move_do",
            type="primary",
            disabled=not check.movable,
            on_click=confirmation.perform,
            args=(act,),
        )


def _moving(
    collection: Collection, document_ids: Sequence[UUID], target: UUID
) -> tuple[confirmation.Deed, str, confirmation.Deed]:
    done: list[Act] = []

    def do(conn: psycopg.Connection[Any]) -> None:
        done.append(acts.move_documents(conn, collection.id, document_ids, target))
        explore_state.renew()

    def undo(conn: psycopg.Connection[Any]) -> None:
        undo_act(conn, done[-1].id)
        explore_state.renew()

    return do, "The documents were moved.", undo


def passages(effect: acts.Effect) -> str:
    """``37 passages of 4 documents``."""
    return f"{count(effect.passages, 'passage')} of {count(effect.documents, 'document')}"
