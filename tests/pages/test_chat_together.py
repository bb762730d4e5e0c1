"""A conversation of several people: letting them in, who is here, whose question is whose, and what it asks."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from pages.parts.chat_presence import initials, presence_html
from pages.parts.chat_sources import describe_sources
from pages.parts.product import Product
from rag.chat.chat_records import Chat
from rag.chat.chats import create_chat, get_chat, list_chats
from rag.chat.conversations import list_collections
from rag.chat.participants import participants, share_chat, unshare_chat
from rag.chat.presence import Present, note_presence
from rag.corpus.collections import create_collection
from rag.corpus.sharing import share
from rag.records import LOCAL_USER
from rag.retrieval.scopes import Piece, make_scope, read_scope
from rag.store.database import Database
from tests.integration.library import LAKE, PUMP, QUESTION, Library, settings_for
from tests.integration.townsfolk import open_account
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.test_chat_page import worker
from tests.pages.visitors import Visitors, press


@pytest.fixture
def visitors(product: Product, database: Database, home: Path) -> Visitors:
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    return Visitors(database)


@pytest.fixture
def shelf(database: Database, alice: UUID, bob: UUID) -> Library:
    """Alice's collection, which Bob may read."""
    open_account(database, "alice@example.org", id=alice)
    open_account(database, "bob@example.org", id=bob)
    made = Library(database, alice, {"pump.md": PUMP, "lake.txt": LAKE})
    with database.as_user(alice) as conn:
        share(conn, made.collection, "bob@example.org", "viewer")
    return made


def begin(library: Library, *others: UUID) -> Chat:
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection, "About pumps")
        if others:
            share_chat(conn, chat, others)
        return get_chat(conn, chat)


def draw_dialog(chat) -> None:  # type: ignore[no-untyped-def]
    from pages.parts import shell
    from pages.parts.chat_sharing import show_chat_sharing

    shell._navigated = True
    show_chat_sharing(chat)


def people_of(library: Library, chat: Chat) -> set[UUID]:
    with library.database.as_user(library.user) as conn:
        return {one.user_id for one in participants(conn, chat.id)}


def test_somebody_is_let_in_and_shown_out(visitors: Visitors, shelf: Library, alice: UUID, bob: UUID) -> None:
    chat = begin(shelf)
    app = visitors.draw(alice, draw_dialog, chat)
    assert "It opens for the people above" in texts(app)
    app.multiselect(key="chat_candidates").select(str(bob))
    press(app, "add_to_chat")
    assert people_of(shelf, chat) == {alice, bob}
    assert "bob" in texts(app)
    assert "can open it now" in texts(app)
    press(app, f"remove-{bob}")
    assert people_of(shelf, chat) == {alice}
    assert "can't open it any more" in texts(app)


def test_somebody_without_access_to_its_collections_is_no_candidate(
    visitors: Visitors, shelf: Library, database: Database, alice: UUID
) -> None:
    dan = open_account(database, "dan@example.org")
    chat = begin(shelf)
    app = visitors.draw(alice, draw_dialog, chat)
    assert not [one for one in app.multiselect(key="chat_candidates").options if "dan" in one]
    assert "Add people" not in texts(visitors.open(dan, "chat", collection=str(shelf.collection)))


def test_with_nobody_to_add_the_dialog_says_what_to_do(visitors: Visitors, database: Database, alice: UUID) -> None:
    open_account(database, "alice@example.org", id=alice)
    app = visitors.draw(alice, draw_dialog, begin(Library(database, alice, {"pump.md": PUMP})))
    assert "Nobody else has access" in texts(app)
    assert not app.multiselect


def test_a_participant_sees_whose_question_it_is_and_leaves(visitors: Visitors, shelf: Library, bob: UUID) -> None:
    chat = begin(shelf, bob)
    shelf.answer(shelf.ask(QUESTION, chat=chat.id), settings_for())
    app = visitors.open(bob, "chat", collection=str(shelf.collection), chat=str(chat.id))
    assert QUESTION in texts(app)
    assert "alice" in texts(app)
    app.button(key="share_chat").click().run()
    dialog = visitors.draw(bob, draw_dialog, seen_by(shelf, bob, chat))
    assert not dialog.multiselect
    press(dialog, "leave_chat")
    assert "Leave this conversation?" in texts(dialog)
    press(dialog, "stay_in_chat")
    assert "Leave this conversation?" not in texts(dialog)
    press(dialog, "leave_chat")
    press(dialog, "leave_chat_now")
    assert bob not in people_of(shelf, chat)


def seen_by(library: Library, person: UUID, chat: Chat) -> Chat:
    with library.database.as_user(person) as conn:
        return get_chat(conn, chat.id)


def test_the_dialog_is_of_one_conversation(visitors: Visitors, shelf: Library, alice: UUID) -> None:
    first, second = begin(shelf), begin(shelf)
    app = visitors.open(alice, "chat", collection=str(shelf.collection), chat=str(first.id))
    app.button(key="share_chat").click().run()
    assert app.session_state["chat_sharing"] == first.id
    app.button(key=f"chat-{second.id}").click().run()
    assert app.query_params["chat"] == str(second.id)
    assert "chat_sharing" not in app.session_state


def test_who_was_shown_out_is_told_so(visitors: Visitors, shelf: Library, bob: UUID) -> None:
    chat = begin(shelf, bob)
    gone = "isn't shared with you"
    address = {"collection": str(shelf.collection), "chat": str(chat.id)}
    app = visitors.open(bob, "chat", **address)
    assert gone not in texts(app)
    with shelf.database.as_user(shelf.user) as conn:
        unshare_chat(conn, chat.id, bob)
    assert gone in texts(app.run())
    app.button(key="new_chat").click().run()
    assert gone not in texts(app)


def test_whoever_has_it_open_too_is_named_above_it(visitors: Visitors, shelf: Library, alice: UUID, bob: UUID) -> None:
    chat = begin(shelf, bob)
    app = visitors.open(bob, "chat", collection=str(shelf.collection), chat=str(chat.id))
    assert "cs-people" not in texts(app)
    with shelf.database.as_user(alice) as conn:
        note_presence(conn, chat.id, uuid4())
    said = texts(app.run())
    assert "Who is here" in said
    assert "<span>alice</span>" in said


def test_alone_nobody_is_named_and_nothing_is_shared_without_accounts(open_page: OpenPage, library: Library) -> None:
    chat = begin(library)
    library.answer(library.ask(QUESTION, chat=chat.id), settings_for())
    app = open_page("chat", collection=str(library.collection), chat=str(chat.id))
    assert "cs-people" not in texts(app)
    assert "You" not in [caption.value for caption in app.caption]
    assert "share_chat" not in {button.key for button in app.button}


def test_chips_name_whoever_asks_first_and_nobody_alone() -> None:
    me, ann, ben = uuid4(), Present(uuid4(), "Ann <b>", False), Present(uuid4(), "Ben Ito", True)
    assert presence_html([Present(me, "Me", True)], me) == ""
    html = presence_html([Present(me, "Me", False), ann, ben], me)
    assert html.index("Ben Ito") < html.index("Ann &lt;b&gt;") < html.index("You")
    assert html.count("asking</small>") == 1
    assert "<b>" not in html
    crowd = [Present(uuid4(), f"Person {number:02}", False) for number in range(9)]
    assert "and 3 others" in presence_html(crowd, me)


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Ada Brook", "AB"), ("ada@example.org", "A"), ("Ana María de Souza", "AS"), ("李 雷", "李雷"), ("", "?")],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_what_is_asked_in_words() -> None:
    assert describe_sources("Hand_book", []) == "Everything in Hand\\_book"
    assert describe_sources("A", ["B"]) == "A and B"
    assert describe_sources("A", ["B", "C"]) == "A and 2 other collections"


def draw_sources(collection, chat, most=300) -> None:  # type: ignore[no-untyped-def]
    from pages.parts import shell
    from pages.parts.chat_sources import read_sources, sources_bar
    from pages.parts.session import connect
    from rag.chat.chats import get_chat
    from rag.corpus.collections import get_collection

    shell._navigated = True
    with connect() as conn:
        home, current = get_collection(conn, collection), get_chat(conn, chat) if chat else None
    sources_bar(home, current, read_sources(home, current), most)


def asked(library: Library, chat: Chat) -> tuple[str | None, list[str]]:
    """The size of what the conversation is kept to, and the names of the collections that it asks."""
    with library.database.as_user(library.user) as conn:
        scope = get_chat(conn, chat.id).scope_id
        names = [one.name for one in list_collections(conn, chat.id) if one.is_asked]
        return (read_scope(conn, scope).size if scope is not None else None), names


def test_a_conversation_is_kept_to_documents_and_to_a_selection(
    visitors: Visitors, shelf: Library, alice: UUID
) -> None:
    chat, home = begin(shelf), shelf.collection
    lake = shelf.value("select id from public.documents where name = 'lake.txt'")
    pump = shelf.value("select id from public.documents where name = 'pump.md'")
    with shelf.database.as_user(alice) as conn:
        ducks = make_scope(conn, home, "Ducks", [Piece(lake, 0, 60)])
    app = visitors.draw(alice, draw_sources, home, chat.id)
    assert "Everything in Library" in str(app.get("popover")[0].proto)
    app.multiselect(key=f"asked-{home}").select(str(lake)).run()
    assert "Only with lake.txt" in texts(app)
    assert asked(shelf, chat) == ("1 passage of 1 document", ["Library"])
    app.multiselect(key=f"asked-{home}").select(str(pump)).run()
    assert "Only with lake.txt and pump.md" in texts(app)
    app.selectbox(key=f"asked-selection-{home}").set_value(ducks).run()
    assert "Only with 1 passage of 1 document (“Ducks”)" in texts(app)
    assert app.multiselect(key=f"asked-{home}").value == []
    app.selectbox(key=f"asked-selection-{home}").set_value(None).run()
    assert "Only with" not in texts(app)
    assert asked(shelf, chat) == (None, ["Library"])


def test_a_conversation_asks_several_collections_or_documents_of_one(
    visitors: Visitors, shelf: Library, alice: UUID
) -> None:
    chat, home = begin(shelf), shelf.collection
    lake = shelf.value("select id from public.documents where name = 'lake.txt'")
    shelf.collection = second_collection(shelf)
    app = visitors.draw(alice, draw_sources, home, chat.id)
    app.multiselect(key=f"also-{home}").select(str(shelf.collection)).run()
    assert "Library and Second" in str(app.get("popover")[0].proto)
    assert asked(shelf, chat) == (None, ["Library", "Second"])
    app.multiselect(key=f"asked-{home}").select(str(lake)).run()
    assert asked(shelf, chat) == ("1 passage of 1 document", ["Library"])
    app.multiselect(key=f"also-{home}").select(str(shelf.collection)).run()
    assert asked(shelf, chat) == (None, ["Library", "Second"])


def second_collection(library: Library) -> UUID:
    """Another one of the same person, with a document."""
    with library.database.as_user(library.user) as conn:
        other = create_collection(conn, "Second")
    library.collection = other
    library.add("rivers.txt", LAKE)
    return other


def test_a_collection_that_a_participant_may_not_open_is_refused_in_words(
    visitors: Visitors, shelf: Library, alice: UUID, bob: UUID
) -> None:
    chat, home = begin(shelf, bob), shelf.collection
    other = second_collection(shelf)
    app = visitors.draw(alice, draw_sources, home, chat.id)
    app.multiselect(key=f"also-{home}").select(str(other)).run()
    assert "no member of “Second”" in texts(app)
    assert asked(shelf, chat) == (None, ["Library"])


def test_documents_of_a_large_collection_are_looked_for_by_name(
    visitors: Visitors, shelf: Library, alice: UUID
) -> None:
    chat, home = begin(shelf), shelf.collection
    lake = shelf.value("select id from public.documents where name = 'lake.txt'")
    app = visitors.draw(alice, draw_sources, home, chat.id, 1)
    assert app.multiselect(key=f"asked-{home}").options == []
    app.text_input(key=f"asked-part-{home}").set_value("LAKE").run()
    assert app.multiselect(key=f"asked-{home}").options == ["lake.txt"]
    app.multiselect(key=f"asked-{home}").select(str(lake)).run()
    app.text_input(key=f"asked-part-{home}").set_value("pump").run()
    assert app.multiselect(key=f"asked-{home}").options == ["lake.txt", "pump.md"]
    assert asked(shelf, chat) == ("1 passage of 1 document", ["Library"])


def test_participants_see_what_is_asked_and_do_not_choose_it(visitors: Visitors, shelf: Library, bob: UUID) -> None:
    app = visitors.draw(bob, draw_sources, shelf.collection, begin(shelf, bob).id)
    assert "Everything in Library" in texts(app)
    assert not app.multiselect


def test_a_conversation_yet_to_begin_asks_what_its_address_says(
    open_page: OpenPage, library: Library, database: Database
) -> None:
    home = library.collection
    other = second_collection(library)
    app = open_page("chat", collection=str(home), also=f"{other},{uuid4()},x")
    assert "Library and Second" in str(app.get("popover")[0].proto)
    with worker(library):
        app.chat_input(key="question").set_value(QUESTION).run(timeout=60)
    with database.as_user(LOCAL_USER) as conn:
        (chat,) = list_chats(conn, home)
        assert [one.name for one in list_collections(conn, chat.id)] == ["Library", "Second"]
    assert "also" not in app.query_params
