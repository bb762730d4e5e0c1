"""The account page: one's own name, password, sessions, limits, shared collections and activity."""

from __future__ import annotations

from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.product import Product
from rag.auth.people import find_person
from rag.auth.sessions import Session, find_session
from rag.auth.signing_in import sign_in
from rag.corpus.sharing import list_people_of, set_public, share
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.door import BEN, BENS, HERE, IDLE, make_first, make_person
from tests.integration.library import PUMP, Library
from tests.integration.townsfolk import open_account, set_limits
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.visitors import Visitors, press

NEW = "seven purple lanterns"


@pytest.fixture
def visitors(product: Product, database: Database, home: object) -> Visitors:
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    make_first(database)
    return Visitors(database)


@pytest.fixture
def ben(visitors: Visitors, database: Database) -> UUID:
    return make_person(database)


@pytest.fixture
def shared(visitors: Visitors, database: Database, ben: UUID) -> Library:
    """Ann's collection, of which Ben is an editor."""
    library = Library(database, LOCAL_USER, {"pump.md": PUMP})
    with database.as_user(LOCAL_USER) as conn:
        share(conn, library.collection, BEN, "editor")
    return library


def stands(database: Database, session: Session) -> bool:
    with database.as_accounts() as conn:
        return find_session(conn, session.id, idle=IDLE) is not None


def submit(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception, app.exception[0].message
    return app


def test_without_sign_in_it_says_so_and_what_is_used(open_page: OpenPage, library: Library) -> None:
    app = open_page("account")
    assert "one person, who works without signing in" in texts(app)
    assert "2, no limit" in texts(app)
    assert not app.text_input(key="activity_text").value
    assert "Password" not in texts(app)


def test_a_guest_sees_only_what_may_be_asked(visitors: Visitors, database: Database) -> None:
    app = visitors.open(open_account(database, None), "account")
    assert "0 of 20, 20 left" in texts(app)
    assert "Files" not in texts(app)
    assert not app.text_input


def test_the_name_is_changed(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = visitors.open(ben, "account")
    assert BEN in texts(app)
    next(box for box in app.text_input if box.label == "Name that others see").input("Ben the builder")
    submit(app, "Save name")
    with database.as_accounts() as conn:
        person = find_person(conn, ben)
    assert person is not None
    assert person.name == "Ben the builder"


def change(app: AppTest, old: str, new: str, again: str | None = None) -> AppTest:
    app.text_input(key="old-0").input(old)
    app.text_input(key="new-0").input(new)
    app.text_input(key="again-0").input(new if again is None else again)
    return submit(app, "Change password")


def test_the_password_is_changed_and_other_sessions_end(visitors: Visitors, ben: UUID, database: Database) -> None:
    other = visitors.begin(ben)
    app = visitors.open(ben, "account")
    assert "Your 1 other session will end" in texts(app)
    change(app, BENS, NEW)
    assert not app.error
    assert not stands(database, other)
    assert sign_in(database, BEN, NEW, **HERE)
    visitors.later(app)
    assert "Your session has ended" not in texts(app)
    assert NEW not in repr(app.session_state)


@pytest.mark.parametrize(
    ("old", "new", "again", "said"),
    [
        ("wrong horse battery", NEW, None, "present password is wrong"),
        (BENS, "short", None, "10 characters"),
        (BENS, NEW, NEW + "x", "not typed the same way twice"),
        (BENS, BENS, None, "the password that you have"),
    ],
)
def test_a_password_that_wont_do_is_said(
    visitors: Visitors, ben: UUID, database: Database, old: str, new: str, again: str | None, said: str
) -> None:
    app = change(visitors.open(ben, "account"), old, new, again)
    assert said in app.error[0].value
    assert sign_in(database, BEN, BENS, **HERE)


def test_with_a_provider_there_is_no_password(visitors: Visitors, product: Product, ben: UUID) -> None:
    product.settings = product.settings.model_copy(update={"auth": "oidc"})
    app = visitors.open(ben, "account")
    assert "sign in with a provider" in texts(app)
    assert not [box for box in app.text_input if (box.key or "").startswith("old")]


def test_one_session_is_ended_and_this_one_is_marked(visitors: Visitors, ben: UUID, database: Database) -> None:
    other = visitors.begin(ben)
    app = visitors.open(ben, "account")
    assert "This one" in "".join(str(badge.proto) for badge in app.get("badge")) + texts(app)
    press(app, f"end-{other.id}")
    assert "signed out on" in texts(app)
    assert stands(database, other)
    press(app, "confirmation_do")
    assert not stands(database, other)
    assert "Your session has ended" not in texts(visitors.later(app))


def test_everywhere_else_spares_this_one(visitors: Visitors, ben: UUID, database: Database) -> None:
    others = [visitors.begin(ben) for _ in range(2)]
    app = press(visitors.open(ben, "account"), "end_others")
    assert "2 other sessions end at once" in texts(app)
    press(app, "confirmation_do")
    assert not any(stands(database, one) for one in others)
    assert "Your session has ended" not in texts(visitors.later(app))


def test_everywhere_ends_this_one_too(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = press(visitors.open(ben, "account"), "end_all")
    assert "this one too" in texts(app)
    visitors.later(press(app, "confirmation_do"))
    assert "Your session has ended" in texts(app)
    assert BEN not in texts(app)


def test_limits_say_what_is_left(visitors: Visitors, ben: UUID, database: Database) -> None:
    set_limits(database, "person", None, files=5, bytes=2_000_000, questions=None)
    said = texts(visitors.open(ben, "account"))
    assert "0 of 5, 5 left" in said
    assert "0 bytes of 2 MB, 2 MB left" in said
    assert "0, no limit" in said


def test_a_shared_collection_can_be_left(visitors: Visitors, ben: UUID, shared: Library, database: Database) -> None:
    app = visitors.open(ben, "account")
    assert "owned by Ann" in texts(app)
    press(app, f"leave-{shared.collection}")
    assert "You can't open its 1 document any more" in texts(app)
    press(app, "confirmation_do")
    with database.as_user(LOCAL_USER) as conn:
        assert len(list_people_of(conn, shared.collection)) == 1
    assert "Nobody shares a collection with you" in texts(app)


def test_leaving_a_public_one_says_that_it_can_still_be_read(
    visitors: Visitors, ben: UUID, shared: Library, database: Database
) -> None:
    with database.as_user(LOCAL_USER) as conn:
        set_public(conn, shared.collection, True)
    app = press(visitors.open(ben, "account"), f"leave-{shared.collection}")
    assert "able to read it, since it is public" in texts(app)


def test_what_only_one_owns_is_not_called_shared(visitors: Visitors, shared: Library) -> None:
    assert "Nobody shares a collection with you" in texts(visitors.open(LOCAL_USER, "account"))


def test_one_sees_what_one_did_and_nothing_else(visitors: Visitors, ben: UUID, shared: Library) -> None:
    app = visitors.open(LOCAL_USER, "account")
    rows = app.dataframe[0].value["What"].tolist()
    assert "You gave ben@example.org access as editor" in rows
    assert all(row.startswith("You ") for row in rows)
    assert not visitors.open(ben, "account").dataframe
