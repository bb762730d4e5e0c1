"""People who are signed in, looking at pages: `Visitors` makes their sessions and opens pages as them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from streamlit.testing.v1 import AppTest

from pages.parts.guard import entrance
from pages.parts.visit import _Known
from rag.auth.sessions import Session, open_session
from rag.store.database import Database

ROOT = Path(__file__).resolve().parents[2]


class Visitors:
    """The product with AUTH=local, seen by several people."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def begin(self, person: UUID) -> Session:
        """A session of theirs, as the sign-in opens it."""
        kind: Any = "password"
        with self.database.as_accounts() as conn:
            return open_session(conn, person, kind, device="Firefox on Linux", address="", lasts=timedelta(hours=1))[1]

    def open(self, visitor: UUID, page: str, /, **query: str) -> AppTest:
        """The page as that person sees it who follows such a link."""
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
        self.let_in(app, visitor)
        app.query_params.update(query)
        app.run()
        app.switch_page(f"pages/{page}.py")
        app.query_params.update(query)
        app.run()
        for name in ("view",):  # AppTest binds no widget to the address
            if name in query and (found := [one for one in app.get("button_group") if one.key == name]):
                found[0].set_value(query[name]).run()  # type: ignore[union-attr]
        assert not app.exception, app.exception[0].message
        return app

    def draw(self, person: UUID, show: Callable[..., None], *args: Any) -> AppTest:
        """What ``show`` draws, as inside a dialog: AppTest closes those at each run."""
        app = AppTest.from_function(show, args=args, default_timeout=30)
        self.let_in(app, person)
        app.run()
        assert not app.exception, app.exception[0].message
        return app

    def later(self, app: AppTest) -> AppTest:
        """Run again, when the last look at the session is too old to be trusted."""
        app.session_state["visit"] = replace(app.session_state["visit"], looked_at=0.0)
        app.run()
        return app

    def let_in(self, app: AppTest, person: UUID) -> None:
        """Make a session of theirs this tab's."""
        word = entrance().signer("tab").sign(str(self.begin(person).id))
        app.session_state["visit"] = _Known(word)


def press(app: AppTest, key: str) -> AppTest:
    """Click and run."""
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].message
    return app
