"""Whose tab it is: looked up on every run, and nothing of one person is left for the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.guard import entrance
from pages.parts.product import Product
from pages.parts.visit import _Known
from rag.auth import people, sessions
from rag.errors import DatabaseUnavailable
from rag.store.database import Database
from tests.pages.conftest import ROOT
from tests.pages.reading import texts

ENDED = "Your session has ended"
#: Signs somebody in and returns the gate's word for it, and the session.
Arrive = Callable[[str], tuple[str, UUID]]


@pytest.fixture
def guarded(product: Product, home: Path) -> Product:
    """The same installation with AUTH=local."""
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    return product


@pytest.fixture
def arrive(guarded: Product, database: Database) -> Arrive:
    def sign_in(email: str) -> tuple[str, UUID]:
        with database.as_accounts() as conn:
            person = people.find_by_email(conn, email)
            user_id = person.user_id if person else people.add_person(conn, email, email.partition("@")[0].title())
            _, session = sessions.open_session(
                conn, user_id, "password", device="", address="", lasts=timedelta(hours=1)
            )
        return entrance().signer("tab").sign(str(session.id)), session.id

    return sign_in


def open_tab(word: str) -> AppTest:
    """The bare address, which leads through app.py to the documents."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    app.session_state["visit"] = _Known(word)
    return app.run()


def later(app: AppTest) -> AppTest:
    """The same tab's next run, some seconds later."""
    app.session_state["visit"] = replace(app.session_state["visit"], looked_at=0.0)
    return app.run()


def test_a_tab_says_whose_it_is(arrive: Arrive) -> None:
    word, _ = arrive("fay@example.org")
    app = open_tab(word)
    assert not app.exception
    assert [title.value for title in app.title] == ["Documents"]
    assert app.session_state["visit"].identity.label == "Fay"


@pytest.mark.parametrize("word", ["", "nonsense", "7f2b1d0e-0000-4000-8000-000000000001", "{id}", "{id}.AAAA"])
def test_a_word_that_the_gate_did_not_say_opens_nothing(arrive: Arrive, word: str) -> None:
    _, session_id = arrive("fay@example.org")
    app = open_tab(word.format(id=session_id))
    assert [title.value for title in app.title] == [ENDED]


def test_a_page_that_runs_without_app_py_holds_the_door_itself(arrive: Arrive) -> None:
    """As Streamlit runs files in pages/ until app.py has declared the navigation."""
    app = open_tab("nonsense")
    app.switch_page("pages/search.py")
    app.run()
    assert [title.value for title in app.title] == [ENDED]


def test_when_the_session_ends_nothing_of_it_is_left(arrive: Arrive, database: Database) -> None:
    word, session_id = arrive("fay@example.org")
    app = open_tab(word)
    app.session_state["kept"] = "Fay's draft"
    app.run()
    with database.as_accounts() as conn:
        sessions.end(conn, session_id, "an administrator ended it")
    later(app)
    assert "an administrator ended it" in texts(app)
    assert [title.value for title in app.title] == [ENDED]
    assert "kept" not in app.session_state
    assert app.session_state["visit"].identity is None


def test_a_tab_that_comes_back_as_somebody_else_starts_anew(arrive: Arrive) -> None:
    word, _ = arrive("fay@example.org")
    app = open_tab(word)
    app.session_state["kept"] = "Fay's draft"
    app.run()
    other, _ = arrive("gus@example.org")
    app.session_state["visit"] = _Known(other, app.session_state["visit"].identity)
    app.run()
    assert app.session_state["visit"].identity.label == "Gus"
    assert "kept" not in app.session_state


def test_what_changed_for_a_person_counts_from_the_next_run(arrive: Arrive, database: Database) -> None:
    word, _ = arrive("fay@example.org")
    app = open_tab(word)
    assert not app.session_state["visit"].identity.is_administrator
    with database.as_owner() as conn:
        conn.execute("update corpuscope.people set is_administrator = true where email = 'fay@example.org'")
    later(app)
    assert app.session_state["visit"].identity.is_administrator
    with database.as_owner() as conn:
        conn.execute("update corpuscope.people set disabled_at = now() where email = 'fay@example.org'")
    later(app)
    assert [title.value for title in app.title] == [ENDED]


def test_a_database_that_fails_shows_no_page(arrive: Arrive, guarded: Product) -> None:
    class Gone(Database):
        def as_accounts(self):  # type: ignore[no-untyped-def]
            raise DatabaseUnavailable("The database is gone.")

    word, _ = arrive("fay@example.org")
    assert guarded.database is not None
    guarded.database = Gone(guarded.database.app_dsn)
    app = open_tab(word)
    assert next(error.value for error in app.error).startswith("The database is gone.")
    assert not app.title
