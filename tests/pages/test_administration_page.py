"""Administration as administrators and others see it: what is asked before each act, and what comes of it."""

from __future__ import annotations

import csv
import io
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.limits_words import Held, Limits, effective, foresee, parse_size, say_use, write_size
from pages.parts.product import Product
from rag.auth import administration as admin
from rag.auth.administration import LimitRow, list_people
from rag.auth.sessions import find_session
from rag.corpus.audit import list_entries
from rag.corpus.sharing import share
from rag.errors import InvalidInput
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.door import IDLE, make_first, make_person
from tests.integration.library import PUMP, Library
from tests.integration.townsfolk import open_account, run_as_owner
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.visitors import Visitors, press

BENS = "ben@example.org"


@pytest.fixture
def visitors(product: Product, database: Database, home: object) -> Visitors:
    """Ann is administrator."""
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    make_first(database)
    return Visitors(database)


@pytest.fixture
def ben(visitors: Visitors, database: Database) -> UUID:
    """Somebody with a password and a collection with a document."""
    person = make_person(database)
    Library(database, person, {"pump.md": PUMP})
    return person


def people(database: Database) -> dict[str, admin.PersonRow]:
    with database.as_user(LOCAL_USER) as conn:
        return {person.email: person for person in list_people(conn)}


def said(app: AppTest) -> str:
    return texts(app).replace("\\", "").replace("`", "")


def test_without_sign_in_there_is_one_person_and_what_else_there_is(open_page: OpenPage, library: Library) -> None:
    app = open_page("administration")
    assert "one person, who works without signing in" in said(app)
    assert "AUTH=oidc" in said(app)
    (views,) = app.get("button_group")
    assert list(views.options) == ["Limits", "Models", "Collections", "Activity"]  # type: ignore[union-attr]
    assert "Each collection" in said(app)


@pytest.mark.parametrize("view", ["People", "Invitations", "Limits", "Models", "Collections", "Activity"])
def test_others_are_refused_whichever_part_they_ask_for(
    visitors: Visitors, ben: UUID, database: Database, view: str
) -> None:
    guest = open_account(database, None)
    for person in (ben, guest):
        app = visitors.open(person, "administration", view=view)
        assert "Only administrators can do that" in app.error[0].value
        assert "ann@example.org" not in said(app).replace(BENS, "")
        assert not app.dataframe
        assert not app.text_input


def test_people_are_listed(visitors: Visitors, ben: UUID, database: Database) -> None:
    open_account(database, None)
    app = visitors.open(LOCAL_USER, "administration")
    assert "2 people · 1 administrator" in said(app)
    table = app.dataframe[0].value
    assert table["E-mail"].tolist() == ["ann@example.org", BENS]
    assert table["Role"].tolist() == [["Administrator"], ["Member"]]
    assert table["Files"].tolist() == [0, 1]
    app.text_input(key="people_filter").input("BEN").run()
    assert app.dataframe[0].value["E-mail"].tolist() == [BENS]


def test_closing_says_what_it_does_before_and_can_be_undone(visitors: Visitors, ben: UUID, database: Database) -> None:
    session = visitors.begin(ben)
    app = press(visitors.open(LOCAL_USER, "administration", person=str(ben)), "person_close")
    assert "1 session ends at once" in said(app)
    assert "1 collection and 1 file stay" in said(app)
    assert people(database)[BENS].is_open
    press(app, "confirmation_do")
    assert not people(database)[BENS].is_open
    with database.as_accounts() as conn:
        assert find_session(conn, session.id, idle=IDLE) is None
    assert "is closed" in said(app)
    press(app, "undo")
    assert people(database)[BENS].is_open


def test_keeping_it_as_it_is_does_nothing(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = press(visitors.open(LOCAL_USER, "administration", person=str(ben)), "person_make")
    assert "you too" in said(app)
    press(app, "confirmation_keep")
    assert not people(database)[BENS].is_administrator
    press(press(app, "person_make"), "confirmation_do")
    assert people(database)[BENS].is_administrator


def test_the_last_administrator_is_told_before_and_refused(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = press(visitors.open(LOCAL_USER, "administration", person=str(LOCAL_USER)), "person_unmake")
    assert "Nobody** would be left" in said(app)
    assert "That is **you**" in said(app)
    press(app, "confirmation_do")
    assert "Somebody has to be administrator" in app.error[0].value
    assert people(database)["ann@example.org"].is_administrator
    assert {button.key for button in app.button if button.key}.isdisjoint({"person_close", "person_delete"})


def test_deleting_names_what_passes_on(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = press(visitors.open(LOCAL_USER, "administration", person=str(ben)), "person_delete")
    assert "1 collection that nobody else owns passes to **you**: Library" in said(app)
    assert "1 file that they uploaded stays" in said(app)
    assert "This can't be undone" in said(app)
    press(app, "confirmation_do")
    assert set(people(database)) == {"ann@example.org"}
    assert people(database)["ann@example.org"].collections == 1


def test_sessions_of_somebody_are_ended_one_by_one_and_at_once(
    visitors: Visitors, ben: UUID, database: Database
) -> None:
    first = visitors.begin(ben)
    visitors.begin(ben)
    app = press(visitors.open(LOCAL_USER, "administration", person=str(ben)), f"end-{first.id}")
    press(app, "confirmation_do")
    assert people(database)[BENS].sessions == 1
    press(press(app, "person_sign_out"), "confirmation_do")
    assert people(database)[BENS].sessions == 0
    assert "Not signed in anywhere" in said(app)


def draw_reset(email: str) -> None:
    from pages.parts import shell
    from pages.parts.person_actions import show_reset
    from pages.parts.session import connect
    from rag.auth.administration import list_people

    shell._navigated = True
    with connect() as conn:
        show_reset(next(one for one in list_people(conn) if one.email == email))


def test_a_password_link_is_shown_once(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = visitors.draw(LOCAL_USER, draw_reset, BENS)
    assert "once, within a day" in said(app)
    assert not app.code
    press(app, "reset_make")
    (link,) = [block.value for block in app.code]
    assert "/reset#" in link
    token = link.partition("#")[2]
    assert len(token) > 40
    assert token not in repr(app.session_state)
    app.run()
    assert not app.code


def draw_invite() -> None:
    from pages.parts import shell
    from pages.parts.invitations import show_invite_form

    shell._navigated = True
    show_invite_form()


def test_an_invitation_says_what_it_gives_and_shows_its_link_once(visitors: Visitors, database: Database) -> None:
    app = visitors.draw(LOCAL_USER, draw_invite)
    assert "whoever opens the link first" in said(app)
    app.text_input(key="invite_email").input("dan@example.org")
    app.toggle(key="invite_administrator").set_value(True).run()
    assert "One account for **dan@example.org**" in said(app)
    assert "close accounts, yours too" in said(app)
    press(app, "invite_make")
    token = app.code[0].value.partition("/join#")[2]
    assert len(token) > 40
    assert token not in repr(app.session_state)
    app.run()
    assert not app.code
    with database.as_user(LOCAL_USER) as conn:
        (made,) = admin.list_invitations(conn)
    assert (made.email, made.as_administrator) == ("dan@example.org", True)


def test_a_wrong_address_is_said_in_the_dialog(visitors: Visitors) -> None:
    app = visitors.draw(LOCAL_USER, draw_invite)
    app.text_input(key="invite_email").input("dan at example.org").run()
    press(app, "invite_make")
    assert "not an e-mail address" in app.error[0].value
    assert not app.code


def test_invitations_are_listed_and_revoked(visitors: Visitors, database: Database) -> None:
    with database.as_user(LOCAL_USER) as conn:
        admin.invite_person(conn, "dan@example.org", True)
        (made,) = admin.list_invitations(conn)
    app = visitors.open(LOCAL_USER, "administration", view="Invitations")
    assert "1 invitation that nobody used yet" in said(app)
    assert "dan@example.org" in said(app)
    press(app, f"revoke-{made.id}")
    assert "stops working at once" in said(app)
    press(app, "confirmation_do")
    assert "dan@example.org" not in said(app)


def draw_limits(scope: str, files: int) -> None:
    from pages.parts import shell
    from pages.parts.limits_form import show_limits_form
    from pages.parts.limits_words import Held, Limits

    shell._navigated = True
    held = [Held("Pumps", files, 5_000_000, 3)]
    show_limits_form(scope, None, "", Limits(), Limits(), held)  # type: ignore[arg-type]


def test_limits_say_whom_they_meet_and_are_set_in_plain_sizes(visitors: Visitors, database: Database) -> None:
    app = visitors.draw(LOCAL_USER, draw_limits, "collection", 12)
    assert app.button(key="limits_set").disabled
    app.number_input(key="limit_files").set_value(10)
    app.text_input(key="limit_space").input("1,5 gb")
    app.number_input(key="limit_questions").set_value(3)
    app.run()
    assert "**Files**: no limit → **10**" in said(app)
    assert "**Space**: no limit → **1.5 GB**" in said(app)
    assert "Pumps will be over it: nothing is deleted" in said(app)
    assert "Pumps can't ask any more today" in said(app)
    press(app, "limits_set")
    with database.as_user(LOCAL_USER) as conn:
        (row,) = [one for one in admin.list_limits(conn) if one.scope == "collection"]
    assert (row.files, row.bytes, row.questions_per_day) == (10, 1_500_000_000, 3)


def test_a_size_that_is_none_is_said(visitors: Visitors) -> None:
    app = visitors.draw(LOCAL_USER, draw_limits, "person", 1)
    app.text_input(key="limit_space").input("much").run()
    assert "as in 500 MB" in app.error[0].value
    assert app.button(key="limits_set").disabled


def test_own_limits_go_back_to_the_default(visitors: Visitors, ben: UUID, database: Database) -> None:
    with database.as_user(LOCAL_USER) as conn:
        admin.set_limits(conn, "person", None, files=3, bytes=None, questions_per_day=None)
        admin.set_limits(conn, "person", ben, files=100, bytes=None, questions_per_day=None)
    app = visitors.open(LOCAL_USER, "administration", view="Limits")
    assert "Files: 100" in said(app)
    press(app, f"default-{ben}")
    assert "**Files**: 100 → **3**" in said(app)
    press(app, "confirmation_do")
    with database.as_user(LOCAL_USER) as conn:
        assert [row for row in admin.list_limits(conn) if row.subject] == []
    press(app, "undo")
    with database.as_user(LOCAL_USER) as conn:
        assert [row.files for row in admin.list_limits(conn) if row.subject] == [100]


def test_collections_are_seen_from_outside(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = visitors.open(LOCAL_USER, "administration", view="Collections")
    table = app.dataframe[0].value
    assert table["Name"].tolist() == ["Library"]
    assert table["Owners"].tolist() == [BENS]
    assert "pump.md" not in said(app)
    app.text_input(key="collection_filter").input("nothing like it").run()
    assert len(app.dataframe[0].value) == 0


def test_activity_is_filtered_and_paged(visitors: Visitors, ben: UUID, database: Database) -> None:
    run_as_owner(
        database,
        "insert into public.audit_log (actor, actor_email, action, subject)"
        " select %s, 'ben@example.org', 'collection made', 'made ' || n from generate_series(1, 60) n",
        ben,
    )
    app = visitors.open(LOCAL_USER, "administration", view="Activity")
    assert len(app.dataframe[0].value) == 50
    newest = app.dataframe[0].value["What"][0]
    press(app, "older")
    assert newest not in app.dataframe[0].value["What"].tolist()
    press(app, "newer")
    assert app.dataframe[0].value["What"][0] == newest
    app.text_input(key="activity_text").input("made 60").run()
    assert app.dataframe[0].value["What"].tolist() == ["ben@example.org made the collection “made 60”"]
    app.text_input(key="activity_text").input("").run()
    app.selectbox(key="activity_kind").select("Invitations").run()
    assert "Nothing like that was done" in said(app)
    app.selectbox(key="activity_kind").select("Everything").run()
    app.selectbox(key="activity_who").select(LOCAL_USER).run()
    assert all(row.startswith("You ") for row in app.dataframe[0].value["What"])


def draw_download() -> None:
    import streamlit as st

    from pages.parts import shell
    from pages.parts.activity_log import Wanted, hand_out
    from rag.errors import CorpuscopeError

    shell._navigated = True
    try:
        st.code(hand_out(Wanted(text="BEN@"), noted=True)().decode("utf-8-sig"))
    except CorpuscopeError as problem:
        st.error(str(problem))


def test_taking_the_list_out_is_an_entry_too(visitors: Visitors, ben: UUID, database: Database) -> None:
    app = visitors.draw(LOCAL_USER, draw_download)
    rows = list(csv.DictReader(io.StringIO(app.code[0].value)))
    assert {row["action"] for row in rows} == {"account made", "collection made"}
    with database.as_user(LOCAL_USER) as conn:
        (entry,) = list_entries(conn, actions=["exported"])
    assert (entry.actor, entry.subject, entry.detail) == (LOCAL_USER, "the list of activity", {"rows": len(rows)})


def test_nobody_else_takes_the_list_out(visitors: Visitors, ben: UUID) -> None:
    app = visitors.draw(ben, draw_download)
    assert "Only administrators can do that" in app.error[0].value
    assert not app.code


@pytest.mark.parametrize(
    ("text", "size"),
    [("", None), ("  ", None), ("500 MB", 500_000_000), ("1.5gb", 1_500_000_000), ("2 KB", 2000), ("17", 17)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int | None) -> None:
    assert parse_size(text) == size
    assert parse_size(write_size(size)) == size


@pytest.mark.parametrize("text", ["much", "-1 MB", "1 PB", "1e9", "9999999999 TB", "MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_size(text)


def test_an_odd_size_survives_being_written() -> None:
    assert parse_size(write_size(123_456_789)) == 123_456_789


def test_own_limits_count_before_the_default(ben: UUID) -> None:
    rows = [LimitRow("person", None, "", 5, 1000, None), LimitRow("person", ben, "", 9, None, None)]
    assert effective(rows, "person", ben) == Limits(9, 1000, None)
    assert effective(rows, "collection", ben) == Limits()
    assert say_use(Held("Ben", 1, 500, 1), Limits(9, 1000)) == "1 of 9 files · 500 bytes of 1 KB · 1 question today"


def test_nothing_is_foreseen_where_nothing_changes() -> None:
    assert foresee(Limits(1), Limits(1), [Held("Ben", 2, 0, 0)], nothing="no limit") == []


def test_a_name_is_shown_as_it_is(visitors: Visitors, ben: UUID, database: Database) -> None:
    run_as_owner(database, "update corpuscope.people set name = '**Bold** <b>x</b>' where user_id = %s", ben)
    app = visitors.open(LOCAL_USER, "administration", person=str(ben))
    assert "&lt;b&gt;x&lt;/b&gt;" in texts(app)
    press(app, "person_close")
    assert "**Bold**" not in texts(app).replace("**Bold** &lt;", "")


def test_shared_collections_count_once_a_member(visitors: Visitors, ben: UUID, database: Database) -> None:
    with database.as_user(ben) as conn:
        row = conn.execute("select id from public.collections").fetchone()
        assert row is not None
        share(conn, row[0], "ann@example.org", "viewer")
    app = visitors.open(LOCAL_USER, "administration", view="Collections", of=str(row[0]))
    assert app.dataframe[0].value["Members"].tolist() == [2]
    assert "1 file · " in said(app)
