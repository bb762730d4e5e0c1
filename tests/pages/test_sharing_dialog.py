"""The dialog "Share" and what guests and people with limits get to see, as people who are signed in."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts import activity, downloads, sharing
from pages.parts.guard import entrance
from pages.parts.product import Product
from pages.parts.session import require_user
from pages.parts.visit import knock
from rag.auth.sessions import end, find_session, open_session
from rag.corpus.audit import describe, list_entries
from rag.corpus.collections import get_collection
from rag.corpus.sharing import list_people_of, open_invitations, set_public, share
from rag.errors import CorpuscopeError
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.library import PUMP, Library
from tests.integration.townsfolk import open_account, set_limits
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts

ROOT = Path(__file__).resolve().parents[2]

SignIn = Callable[[UUID], str]
Visit = Callable[..., AppTest]


@pytest.fixture
def guarded(product: Product, home: Path) -> Product:
    """The product with AUTH=local."""
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    return product


@pytest.fixture
def sign_in(guarded: Product, database: Database) -> SignIn:
    """`sign_in(person)` is what the gate says of a new session of theirs to a tab."""

    def begin(person: UUID) -> str:
        with database.as_accounts() as conn:
            _, session = open_session(conn, person, "password", device="test", address="", lasts=timedelta(hours=1))
        return entrance().signer("tab").sign(str(session.id))

    return begin


@pytest.fixture
def alice_library(database: Database, alice: UUID, bob: UUID) -> Library:
    """Alice's collection with a document; Bob has an account."""
    open_account(database, "alice@example.org", id=alice)
    open_account(database, "bob@example.org", id=bob)
    return Library(database, alice, {"pump.md": PUMP})


@pytest.fixture
def visit(sign_in: SignIn, alice_library: Library) -> Visit:
    """`visit(person)` is the inside of the dialog, `visit(person, "documents")` a page, as that person sees it."""

    def show(person: UUID, page: str = "", **query: str) -> AppTest:
        word = sign_in(person)
        if page:
            script = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
        else:
            script = AppTest.from_function(draw_dialog, args=(str(alice_library.collection), word), default_timeout=30)
        app = script
        app.session_state["visit"] = known(word)
        app.query_params.update(query)
        app.run()
        if page:
            app.switch_page(f"pages/{page}.py")
            app.query_params.update(query)
            app.run()
        assert not app.exception, app.exception[0].message
        return app

    return show


def known(word: str) -> Any:
    from pages.parts.visit import _Known

    return _Known(word)


def draw_dialog(collection: str, word: str) -> None:
    from uuid import UUID

    from pages.parts import shell
    from pages.parts.sharing import show_sharing

    shell._navigated = True
    show_sharing(UUID(collection))


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].message
    return app


def share_by_mail(app: AppTest, email: str, role: str = "viewer") -> AppTest:
    app.text_input(key="share_email").input(email)
    app.selectbox(key="share_role").select(role)
    next(button for button in app.button if button.label == "Share").click().run()
    assert not app.exception, app.exception[0].message
    return app


def roles(database: Database, library: Library) -> dict[str, str]:
    with database.as_user(library.user) as conn:
        return {member.email: member.role for member in list_people_of(conn, library.collection)}


def test_an_owner_shares_with_somebody_who_has_an_account(
    visit: Visit, alice_library: Library, database: Database, alice: UUID
) -> None:
    app = share_by_mail(visit(alice), "bob@example.org", "editor")
    assert roles(database, alice_library) == {"alice@example.org": "owner", "bob@example.org": "editor"}
    assert "`bob@example.org` has access now, as editor" in texts(app)
    assert "2 people have access" in texts(app)
    assert not app.code


def test_somebody_without_account_gets_a_link_that_is_shown_once(
    visit: Visit, alice_library: Library, database: Database, alice: UUID
) -> None:
    app = share_by_mail(visit(alice), "carol@example.org")
    (link,) = [block.value for block in app.code]
    assert link.startswith("http://127.0.0.1:8501/join#")
    token = link.partition("#")[2]
    assert len(token) > 40
    assert "no account here yet" in texts(app)
    with database.as_user(alice) as conn:
        assert [one.email for one in open_invitations(conn, alice_library.collection)] == ["carol@example.org"]
    assert token not in repr(app.session_state)
    app.run()
    assert not app.code


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_a_link_for_whoever_has_it(
    visit: Visit, guarded: Product, alice_library: Library, database: Database, alice: UUID, role: str
) -> None:
    guarded.settings = guarded.settings.model_copy(update={"public_url": "https://corpus.example.org/"})
    app = press(visit(alice), f"link_{role}")
    assert app.code[0].value.startswith("https://corpus.example.org/join#")
    with database.as_user(alice) as conn:
        (invitation,) = open_invitations(conn, alice_library.collection)
    assert (invitation.email, invitation.role) == (None, role)
    assert "Whoever has the link" in texts(app)
    press(app, f"revoke-{invitation.id}")
    with database.as_user(alice) as conn:
        assert open_invitations(conn, alice_library.collection) == []


def test_what_is_no_address_is_said_in_words(visit: Visit, alice: UUID) -> None:
    assert "That is not an e-mail address" in texts(share_by_mail(visit(alice), "nobody"))


def test_a_role_is_changed_and_the_refusal_of_the_last_owner_shown(
    visit: Visit, alice_library: Library, database: Database, alice: UUID, bob: UUID
) -> None:
    with database.as_user(alice) as conn:
        share(conn, alice_library.collection, "bob@example.org", "viewer")
    app = visit(alice)
    app.selectbox(key=f"role-{bob}").select("editor").run()
    assert roles(database, alice_library)["bob@example.org"] == "editor"
    assert "is editor now" in texts(app)


def test_removing_asks_first(visit: Visit, alice_library: Library, database: Database, alice: UUID, bob: UUID) -> None:
    with database.as_user(alice) as conn:
        share(conn, alice_library.collection, "bob@example.org", "viewer")
    app = press(visit(alice), f"ask_remove-{bob}")
    assert "gone at once, also in pages that are open" in texts(app)
    assert "bob@example.org" in roles(database, alice_library)
    press(app, "sharing_keep")
    assert "gone at once" not in texts(app)
    press(press(app, f"ask_remove-{bob}"), "sharing_confirm")
    assert "bob@example.org" not in roles(database, alice_library)


def test_passing_on_makes_the_other_owner(
    visit: Visit, alice_library: Library, database: Database, alice: UUID, bob: UUID
) -> None:
    with database.as_user(alice) as conn:
        share(conn, alice_library.collection, "bob@example.org", "viewer")
    app = press(visit(alice), "ask_transfer")
    assert "you stay as editor" in texts(app)
    press(app, "sharing_confirm")
    assert roles(database, alice_library) == {"alice@example.org": "editor", "bob@example.org": "owner"}
    assert not app.text_input  # not an owner any more, so the form is gone


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_others_see_who_has_access_and_can_only_leave(
    visit: Visit, alice_library: Library, database: Database, alice: UUID, bob: UUID, role: Any
) -> None:
    with database.as_user(alice) as conn:
        share(conn, alice_library.collection, "bob@example.org", role)
    app = visit(bob)
    said = texts(app).replace("\\", "")
    assert "alice@example.org" in said
    assert "2 people have access" in said
    assert not app.text_input
    assert not app.selectbox
    assert [button.key for button in app.button] == ["ask_leave"]
    app.session_state["collection_before"] = "kept"
    press(app, "ask_leave")
    app.button(key="sharing_confirm").click().run()
    assert "bob@example.org" not in roles(database, alice_library)


def test_making_it_public_says_what_that_means(
    visit: Visit, alice_library: Library, database: Database, alice: UUID
) -> None:
    app = press(visit(alice), "change_reach")
    assert "guests without an account too" in texts(app)
    press(app, "sharing_confirm")
    with database.as_user(alice) as conn:
        assert get_collection(conn, alice_library.collection).is_public
    press(press(app, "change_reach"), "sharing_confirm")
    with database.as_user(alice) as conn:
        assert not get_collection(conn, alice_library.collection).is_public


def test_activity_is_listed_in_words(
    visit: Visit, alice_library: Library, database: Database, alice: UUID, bob: UUID
) -> None:
    with database.as_user(alice) as conn:
        share(conn, alice_library.collection, "bob@example.org", "viewer")
    app = visit(alice)
    app.segmented_control(key="sharing_view").select("activity").run()
    assert app.dataframe[0].value["What"].tolist() == [
        "You gave bob@example.org access as viewer",
        "You made the collection “Library”",
    ]
    app = visit(bob)
    app.segmented_control(key="sharing_view").select("activity").run()
    assert "owners see what everybody did" in texts(app)
    assert "alice" not in texts(app)


def test_activity_as_rows_of_a_file(alice_library: Library, database: Database, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        (row,) = activity.csv_rows(list_entries(conn, collection=alice_library.collection))
    assert set(row) == set(activity.CSV_COLUMNS)
    assert (row["who"], row["what"]) == ("alice@example.org", "alice@example.org made the collection “Library”")


def test_without_accounts_the_dialog_says_how_to_get_them(open_page: OpenPage, library: Library) -> None:
    open_page("documents")
    app = AppTest.from_function(draw_dialog, args=(str(library.collection), ""), default_timeout=30).run()
    assert not app.exception
    assert "AUTH=local" in texts(app)
    assert not app.text_input
    assert not app.button


def test_the_menu_opens_it(open_page: OpenPage, library: Library) -> None:
    app = open_page("documents")
    menu = app.get("menu_button") or app.get("button_group")
    labels = str([element.proto for element in menu])
    assert "Share" in labels


def publish(database: Database, library: Library) -> None:
    with database.as_user(library.user) as conn:
        set_public(conn, library.collection, True)


@pytest.mark.parametrize("page", ["documents", "search", "chat", "document"])
def test_guests_read_and_are_told_that_they_are_guests(
    visit: Visit, alice_library: Library, database: Database, page: str
) -> None:
    publish(database, alice_library)
    guest = open_account(database, None)
    with database.as_user(alice_library.user) as conn:
        document = conn.execute("select id::text from public.documents").fetchone()
    assert document is not None
    app = visit(guest, page, **({"document": document[0]} if page == "document" else {}))
    said = texts(app)
    assert "You are here as a guest" in said
    assert 'href="/sign-in"' in said
    assert not app.file_uploader
    offered = {button.label for button in app.button}
    assert not offered & {"Delete", "Correct", "Tag", "Leave out of search", "Create collection", "Upload files"}
    assert not app.get("menu_button")


def test_people_with_an_account_are_not_called_guests(visit: Visit, alice: UUID) -> None:
    assert "as a guest" not in texts(visit(alice, "documents"))


def test_a_guest_without_anything_public_is_told_so(visit: Visit, database: Database) -> None:
    app = visit(open_account(database, None), "documents")
    assert "nothing here that is public" in texts(app)
    assert not app.button or "Try the sample corpus" not in {button.label for button in app.button}


def test_a_public_collection_is_marked_in_the_picker(
    visit: Visit, alice_library: Library, database: Database, bob: UUID
) -> None:
    publish(database, alice_library)
    app = visit(bob, "documents")
    assert app.selectbox(key="collection_picker").options == ["Library (public)"]
    assert not app.file_uploader


def test_the_upload_form_says_what_is_left(
    visit: Visit, alice_library: Library, database: Database, alice: UUID
) -> None:
    assert "Room for" not in texts(visit(alice, "documents"))
    set_limits(database, "person", alice, files=3)
    set_limits(database, "collection", alice_library.collection, bytes=len(PUMP) + 2000)
    assert "Room for 2 more files and 2 KB." in texts(visit(alice, "documents"))
    set_limits(database, "person", alice, files=1)
    app = visit(alice, "documents")
    assert "No room for more files." in texts(app)
    app.file_uploader[0].upload("new.txt", b"new")
    next(button for button in app.button if button.label == "Upload files").click().run()
    assert "You can hold 1 file, and this would be number 2" in texts(app)
    assert "ask an administrator for more" in texts(app)


def test_the_chat_says_how_many_questions_are_left(
    visit: Visit, alice_library: Library, database: Database, alice: UUID
) -> None:
    assert visit(alice, "chat").chat_input[0].placeholder == "Ask Library"
    set_limits(database, "person", alice, questions=1)
    app = visit(alice, "chat")
    assert app.chat_input[0].placeholder == "Ask Library (1 question left today)"
    alice_library.ask()
    app.run()
    assert app.chat_input[0].disabled
    assert "You have no questions left today. Days end at midnight UTC." in texts(app)
    app.session_state["asked_by_click"] = "And how heavy is it?"
    app.run()
    assert not app.exception
    assert "You have asked 1 question today, which is the limit" in texts(app)
    assert "ask an administrator for more" in texts(app)


def test_a_download_is_noted_with_what_it_is(
    guarded: Product, sign_in: SignIn, alice_library: Library, database: Database, alice: UUID
) -> None:
    file = in_a_tab(
        sign_in(alice), lambda: downloads.handing_out(alice_library.collection, "a table", lambda conn: b"1,2", rows=1)
    )
    assert file() == b"1,2"
    with database.as_user(alice) as conn:
        (entry, *_) = list_entries(conn)
    assert describe(entry, alice) == "You downloaded a table (1 row)"


def test_a_download_after_the_session_ended_is_refused_and_not_noted(
    guarded: Product, sign_in: SignIn, alice_library: Library, database: Database, alice: UUID
) -> None:
    word = sign_in(alice)
    file = in_a_tab(word, lambda: downloads.handing_out(alice_library.collection, "a table", lambda conn: b"1,2"))
    session_id = UUID(entrance().signer("tab").unsign(word))
    with database.as_accounts() as conn:
        end(conn, session_id)
        assert find_session(conn, session_id, idle=timedelta(hours=1)) is None
    with pytest.raises(CorpuscopeError, match="your session has ended"):
        file()
    with database.as_user(alice) as conn:
        assert "exported" not in {entry.action for entry in list_entries(conn)}


def test_what_can_not_be_noted_is_not_handed_out(
    guarded: Product, sign_in: SignIn, alice_library: Library, bob: UUID
) -> None:
    made: list[str] = []
    file = in_a_tab(
        sign_in(bob),
        lambda: downloads.handing_out(alice_library.collection, "a table", lambda conn: made.append("x") or b""),  # type: ignore[func-returns-value]
    )
    with pytest.raises(CorpuscopeError, match="isn't shared with you"):
        file()
    assert made == []


def test_every_download_of_a_page_is_noted() -> None:
    """Each download button gets its file from `handing_out`, unless what it holds is of no collection."""
    # What administrators did, and rows of one's own file that can't be imported.
    of_no_collection = {"activity_log.py", "question_import.py"}
    seen = 0
    for path in sorted((ROOT / "pages").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("download_button"):
                data = node.args[1] if len(node.args) > 1 else node
                noted = isinstance(data, ast.Call) and ast.unparse(data.func) == "handing_out"
                assert noted or path.name in of_no_collection, f"{path.name}:{node.lineno} hands out without a note"
                seen += 1
    assert seen >= 6


def in_a_tab(word: str, make: Callable[[], Callable[[], bytes]]) -> Callable[[], bytes]:
    """What a page makes in a run of its own, and a click calls later in a thread that knows no session."""
    made: list[Callable[[], bytes]] = []

    def page() -> None:
        from tests.pages import test_sharing_dialog as this

        this.RUN()

    def run() -> None:
        from pages.parts import shell

        shell._navigated = True
        knock(word)
        require_user()
        made.append(make())

    globals()["RUN"] = run
    app = AppTest.from_function(page, default_timeout=30).run()
    assert not app.exception, app.exception[0].message
    return made[0]


RUN: Callable[[], None]


def test_links_lead_to_where_people_reach_the_app(product: Product) -> None:
    product.settings = product.settings.model_copy(update={"public_url": "https://corpus.example.org"})
    assert sharing.invitation_address("abc") == "https://corpus.example.org/join#abc"


def test_local_user_is_nobodys_guest(open_page: OpenPage, library: Library) -> None:
    assert library.user == LOCAL_USER
    assert "as a guest" not in texts(open_page("documents"))
