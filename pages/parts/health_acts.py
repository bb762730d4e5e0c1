"""What can be done about a finding: one act of curation each, with a way back; or keep it as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.notices import notify, offer_undo
from pages.parts.session import connect
from pages.parts.words import count, plain, show_error
from rag.curation.acts import exclude, tag, trash_documents
from rag.curation.curation_log import undo_act
from rag.errors import CorpuscopeError
from rag.health.duplicates import Group, Member
from rag.health.health_lists import read_tags
from rag.health.kept_findings import KeptFinding, Stretch, keep, take_back
from rag.records import Collection

Deed = Callable[[psycopg.Connection[Any]], list[int]]


def leave_out(collection: Collection, stretches: Sequence[Stretch], what: str, note: str) -> None:
    """Exclude these from search in one act; ``what`` begins the sentence that says so, as Markdown."""

    def deed(conn: psycopg.Connection[Any]) -> list[int]:
        return [exclude(conn, collection.id, stretches, note=note).id]

    _do(deed, f"{what} left out of search now.")


def keep_one(collection: Collection, groups: Sequence[tuple[Group, Member]]) -> None:
    """Of each group leave out all but the one that stays, in one act."""
    others = [member for group, stays in groups for member in group.members if member != stays]
    verb = "is" if len(others) == 1 else "are"
    note = "near-duplicates: kept one" if len(groups) == 1 else f"near-duplicates: kept one of each of {len(groups)}"
    leave_out(collection, others, f"{count(len(others), 'copy', 'copies')} {verb}", note)


def merge(collection: Collection, group: Group, stays: Member) -> None:
    """Leave out all but the one that stays, and give that one the tags of the others."""
    others = [member for member in group.members if member != stays]

    def deed(conn: psycopg.Connection[Any]) -> list[int]:
        held = set(read_tags(conn, [stays]))
        tags = [name for name in read_tags(conn, others) if name not in held]
        acts = [tag(conn, collection.id, [stays], name).id for name in tags]
        acts.append(exclude(conn, collection.id, others, note="near-duplicates: merged").id)
        return acts

    _do(deed, f"{count(len(others), 'copy', 'copies')} merged into the one that stays.")


def throw_away(collection: Collection, document_ids: Sequence[UUID]) -> None:
    """Put documents into the trash."""

    def deed(conn: psycopg.Connection[Any]) -> list[int]:
        return [trash_documents(conn, collection.id, list(document_ids)).id]

    verb = "is" if len(document_ids) == 1 else "are"
    _do(deed, f"{count(len(document_ids), 'document')} {verb} in the trash.")


def keep_as_is(collection: Collection, finding: KeptFinding, stretches: Sequence[Stretch]) -> None:
    """Remember that these are fine, and offer to take that back."""
    try:
        with connect() as conn:
            kept = keep(conn, collection.id, finding, stretches)
    except CorpuscopeError as error:
        show_error(error)
        return
    offer_undo("Kept as it is, and remembered.", partial(forget, kept))
    st.rerun()


def forget(kept_id: int) -> None:
    """Take a decision to keep back."""
    with connect() as conn:
        take_back(conn, kept_id)


def take_back_now(kept_id: int, name: str) -> None:
    """Callback: take it back and say so."""
    try:
        forget(kept_id)
    except CorpuscopeError as error:
        notify(plain(str(error)), icon="error")
        return
    notify(f"{plain(name)} is looked at again.", icon="undo")


def _do(deed: Deed, said: str) -> None:
    try:
        with connect() as conn:
            acts = deed(conn)
    except CorpuscopeError as error:
        show_error(error)
        return
    offer_undo(said, partial(_undo, acts))
    st.rerun()


def _undo(acts: Sequence[int]) -> None:
    with connect() as conn:
        for act in reversed(acts):
            undo_act(conn, act)
