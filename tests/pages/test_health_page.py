"""Health: what the page says before, while and after a check, and that each act does what it says and can be undone."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.health_words import headline, nothing
from pages.parts.product import Product
from rag.health.health_checks import health_checks
from rag.health.health_job import check_health
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.ailing import Ailing
from tests.integration.library import Library
from tests.integration.townsfolk import open_account
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts
from tests.pages.visitors import Visitors


@pytest.fixture
def ailing(database: Database) -> Ailing:
    return Ailing(database, LOCAL_USER)


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception, app.exception[0].message
    return app


def keys(app: AppTest, prefix: str) -> list[str]:
    return [button.key for button in app.button if button.key and button.key.startswith(prefix)]


def look_at(app: AppTest, name: str) -> AppTest:
    """Choose a list: AppTest binds no widget to the address."""
    [lists] = [one for one in app.get("button_group") if one.key == "list"]
    lists.set_value(name).run()  # type: ignore[union-attr]
    assert not app.exception, app.exception[0].message
    return app


def test_the_address_names_the_list(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    assert "words or less" in texts(open_page("health", list="short"))
    app = look_at(open_page("health", list="nonsense"), "long")
    assert "the model reads" in texts(app)
    assert app.query_params["list"] in ("long", ["long"])


def excluded(ailing: Ailing) -> int:
    return int(ailing.value("select count(*) from public.chunks where excluded"))


def test_before_the_first_check_the_page_says_what_one_does(open_page: OpenPage, library: Library) -> None:
    app = open_page("health")
    assert "Nothing was checked yet" in texts(app)
    press(app, "health_start")
    with library.database.as_user(library.user) as conn:
        [check] = health_checks(conn, library.collection)
    assert check.state == "queued"
    said = texts(app)
    assert "Nothing was checked yet" not in said
    assert keys(app, "health_cancel")
    press(app, "health_cancel")
    assert "was cancelled" in texts(app)


def test_what_is_worth_a_look_comes_first(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    app = open_page("health")
    said = texts(app)
    assert "5 things worth a look" in said or "6 things worth a look" in said
    assert "1 group of near-duplicates, 1 text that documents repeat" in said
    assert "36 passages of 36 documents" in said
    assert "Only spaces and line breaks differ." in said


def test_keep_one_leaves_the_others_out_and_undo_brings_them_back(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    app = open_page("health")
    [button] = keys(app, "health_keep_")
    press(app, button)
    assert excluded(ailing) == 4
    assert "4 copies are left out of search now." in texts(app)
    assert not keys(app, "health_keep_")
    press(app, "undo")
    assert excluded(ailing) == 0
    assert keys(app, "health_keep_") == [button]


def test_merge_carries_the_tags_over_and_undo_takes_all_of_it_back(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    with ailing.database.as_owner() as conn:
        conn.execute(
            "insert into span_marks (document_id, collection_id, start_char, end_char, kind, tag)"
            " values (%s, %s, 0, 20, 'tag', 'travel')",
            [ailing.ids["word.txt"], ailing.collection],
        )
    app = open_page("health")
    press(app, keys(app, "health_merge_")[0])
    tagged = "select count(distinct document_id) from public.span_marks where kind = 'tag' and tag = 'travel'"
    with ailing.database.as_owner() as conn:
        assert conn.execute(tagged).fetchone() == (2,)
    assert excluded(ailing) == 4
    press(app, "undo")
    with ailing.database.as_owner() as conn:
        assert conn.execute(tagged).fetchone() == (1,)
    assert excluded(ailing) == 0


def test_keep_all_is_remembered_and_can_be_taken_back(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    app = open_page("health")
    press(app, keys(app, "health_all_")[0])
    assert not keys(app, "health_all_")
    app = open_page("health")
    assert "Kept as they are · 1" in [one.label for one in app.expander]
    press(app, keys(app, "health_back_")[0])
    assert keys(look_at(app, "duplicates"), "health_all_")
    assert excluded(ailing) == 0


def test_the_slider_changes_the_groups_without_a_check(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    app = open_page("health")
    app.slider(key="health_similarity").set_value(1.0).run()
    assert "**4 passages** in 4 documents" in texts(app)
    app.slider(key="health_similarity").set_value(0.7).run()
    assert "**5 passages** in 5 documents" in texts(app)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("repeat", "All rights reserved by the company."),
        ("short", "words or less"),
        ("long", "the model reads"),
        ("language", "that are not in English"),
        ("outlier", "cosine distance"),
        ("unretrieved", "No question was asked yet"),
    ],
)
def test_each_list_says_what_it_looks_for(open_page: OpenPage, ailing: Ailing, name: str, said: str) -> None:
    ailing.check()
    assert said in texts(look_at(open_page("health"), name))


def test_boilerplate_is_left_out_everywhere_in_one_act(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    app = look_at(open_page("health"), "repeat")
    press(app, keys(app, "health_out_")[0])
    assert ailing_marks(ailing) == 4
    assert "Nothing here" in texts(app)
    press(app, "undo")
    assert ailing_marks(ailing) == 0


def test_a_short_passage_is_left_out_or_kept(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    app = look_at(open_page("health"), "short")
    press(app, "health_exclude")
    assert excluded(ailing) == 1
    press(app, "undo")
    press(app, "health_fine")
    assert "None of 36 passages is too short." in texts(app)
    assert excluded(ailing) == 0


def test_a_changed_corpus_makes_the_check_stale(open_page: OpenPage, ailing: Ailing) -> None:
    ailing.check()
    ailing.add("new.txt", "A new document came after the check.")
    app = open_page("health")
    assert "then 36 documents, now 37" in texts(app)
    press(app, "health_again")
    with ailing.database.as_user(ailing.user) as conn:
        check_health(ailing.errand(), health_checks(conn, ailing.collection)[0].id)
    assert "The corpus has changed" not in texts(open_page("health"))


def test_a_failed_check_says_why(open_page: OpenPage, ailing: Ailing) -> None:
    number = ailing.start()
    with ailing.database.as_owner() as conn:
        conn.execute("update health_checks set state = 'failed', reason = 'The disk is full.' where id = %s", [number])
    app = open_page("health")
    assert "The disk is full." in texts(app)


def test_a_viewer_sees_the_lists_and_no_acts_and_a_stranger_nothing(
    product: Product, database: Database, home: object
) -> None:
    product.settings = product.settings.model_copy(update={"auth": "local", "corpuscope_home": home})
    owner, viewer, eve = (open_account(database, f"{name}@example.org") for name in ("owner", "vera", "eve"))
    ailing = Ailing(database, owner)
    ailing.check()
    with database.as_owner() as conn:
        conn.execute(
            "insert into collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            [ailing.collection, viewer],
        )
    app = Visitors(database).open(viewer, "health", collection=str(ailing.collection))
    assert "**5 passages** in 5 documents" in texts(app)
    acts = ("health_keep_", "health_merge_", "health_all_", "health_again", "health_start")
    assert not [key for prefix in acts for key in keys(app, prefix)]
    said = texts(Visitors(database).open(eve, "health", collection=str(ailing.collection)))
    assert "worth a look" not in said.replace("Health looks for what is worth a look", "")
    assert "passages" not in said.replace("finds passages", "")


def test_words() -> None:
    assert headline({}) == ("Nothing to worry about", "")
    assert headline({"short": 1}) == ("One thing worth a look", "1 very short passage.")
    assert headline({"duplicates": 2, "unretrieved": 3})[1] == (
        "2 groups of near-duplicates and 3 documents that no question found."
    )
    assert "70%" in nothing("duplicates", {"passages": 3}, 0.7)


def ailing_marks(ailing: Ailing) -> int:
    with ailing.database.as_owner() as conn:
        row: Any = conn.execute("select count(*) from public.span_marks where kind = 'exclusion'").fetchone()
    return int(row[0])
