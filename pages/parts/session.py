"""Who is asking, and the database as that person sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.parts.product import Product, product
from pages.parts.shell import navigated, open_frame
from pages.parts.visit import find_identity, show_ended
from pages.parts.words import plain
from rag.auth.identity import Identity
from rag.errors import SignInNeeded
from rag.store.database import Database


def require_user() -> Identity:
    """The person of this session; every page calls this first. Where the session has ended, the run ends here.

    Until st.navigation ran once in a process, Streamlit runs a page of pages/ by itself when its address is opened,
    without app.py. Then this declares the navigation and starts over, now through app.py, at the same address.
    """
    if not navigated():
        open_frame()
        st.rerun()
    identity = find_identity()
    if identity is None:
        _end_run()
        raise SignInNeeded
    return identity


def _end_run() -> None:
    """Show that the session has ended, in place of everything; returns where no page is drawn at all."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return
    if context.fragment_ids_this_run:
        st.rerun()
    show_ended()
    st.stop()


def require_database() -> Product:
    """The process's parts once the database answers; until then a page that says so and looks again."""
    shared = product()
    if shared.database is None:
        _wait_for_database()
        st.stop()
    return shared


@contextlib.contextmanager
def connect() -> Iterator[psycopg.Connection[Any]]:
    """One short transaction as the session's person. Never hold it while the page draws or waits."""
    database = product().database
    assert database is not None, "a page calls require_database() first"
    with as_person(database) as conn:
        yield conn


@contextlib.contextmanager
def as_person(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of ``database`` as the session's person."""
    with database.as_user(require_user().claims) as conn:
        yield conn


@st.fragment(run_every=1)
def _wait_for_database() -> None:
    shared = product()
    if shared.database is not None:
        st.rerun()
    with st.container(border=True, key="starting"):
        st.markdown(":shimmer[**Starting the database**]")
        st.caption("This takes a few seconds, longer after a crash. The page opens by itself as soon as it is there.")
        if shared.database_problem is not None:
            st.caption(f"{plain(str(shared.database_problem))} {plain(shared.database_problem.hint)}")
