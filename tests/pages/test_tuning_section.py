"""Better settings on the Evaluate page: started, watched, told with figures, saved, made the default, or refused."""

from __future__ import annotations

import csv
import io
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.tuning_words import tried_csv
from rag.evaluation.tunings import read_tuning
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import list_profiles, read_default
from rag.store.database import Database
from tests.integration.judged import DOCUMENTS, Judged
from tests.integration.tuned import make_findings, store_tuning
from tests.pages.conftest import OpenPage
from tests.pages.visitors import press


@pytest.fixture
def judged(database: Database) -> Judged:
    return Judged(database, LOCAL_USER)


def section(open_page: OpenPage, judged: Judged) -> AppTest:
    app = open_page("evaluate", collection=str(judged.collection), set=str(judged.set_id))
    # AppTest binds no widget to the address.
    [switch] = [one for one in app.get("button_group") if one.key == "section"]
    switch.set_value("better-settings").run()  # type: ignore[union-attr]
    assert not app.exception, app.exception[0].message
    return app


def texts(app: AppTest) -> str:
    return " ".join(str(one.value) for kind in ("markdown", "caption", "info", "warning") for one in getattr(app, kind))


def test_one_is_started_watched_and_cancelled(open_page: OpenPage, judged: Judged) -> None:
    app = section(open_page, judged)
    assert "No better settings were looked for yet" in texts(app)
    assert f"{DOCUMENTS} judged questions: too few to tell" in texts(app)
    app.radio(key="tuning_objective").set_value("recall").run()
    press(app, "tuning_start")
    [(number,)] = judged.rows("select id from public.tunings")
    with judged.database.as_user(LOCAL_USER) as conn:
        started = read_tuning(conn, number)
    assert (started.objective, started.state, started.profile) == ("recall", "queued", RetrievalProfile())
    app = section(open_page, judged)
    assert "recall@10" in app.get("progress")[0].proto.text
    assert "waits for its turn" in app.get("progress")[0].proto.text
    press(app, f"tuning_cancel_{number}")
    assert "was cancelled" in texts(section(open_page, judged))


def test_better_settings_are_shown_saved_and_made_the_default(open_page: OpenPage, judged: Judged) -> None:
    found = make_findings(question_ids=tuple(judged.questions[:3]))
    assert found.promised
    store_tuning(judged.database, LOCAL_USER, judged.set_id, found)
    app = section(open_page, judged)
    said = texts(app)
    assert "Better settings found" in said
    assert "Weight of meaning against words" in said
    assert "What it costs: a search takes 12.0 ms" in said
    assert "(95 % interval +0." in said
    press(app, "tuning_save")
    with judged.database.as_user(LOCAL_USER) as conn:
        [saved] = list_profiles(conn, judged.collection)
    assert (saved.name, saved.profile, saved.is_default) == ("Tuned", found.candidate, False)
    press(app, "tuning_default")
    press(app, "confirmation_do")
    with judged.database.as_user(LOCAL_USER) as conn:
        default = read_default(conn, judged.collection)
    assert default is not None
    assert (default.name, default.version, default.profile) == ("Tuned", 2, found.candidate)
    press(app, "undo")
    with judged.database.as_user(LOCAL_USER) as conn:
        assert read_default(conn, judged.collection) is None


def test_a_threshold_and_k_go_along_only_when_ticked(open_page: OpenPage, judged: Judged) -> None:
    found = make_findings()
    number = store_tuning(judged.database, LOCAL_USER, judged.set_id, found)
    app = section(open_page, judged)
    app.checkbox(key=f"tuning_k_{number}").check().run()
    app.checkbox(key=f"tuning_threshold_{number}").check().run()
    press(app, "tuning_save")
    with judged.database.as_user(LOCAL_USER) as conn:
        [saved] = list_profiles(conn, judged.collection)
    assert saved.profile == found.candidate.with_changes(k=5, threshold=0.21)


def test_where_nothing_can_be_promised_the_default_stays(open_page: OpenPage, judged: Judged) -> None:
    found = make_findings(best=0.6, height=0.2)
    assert not found.promised
    store_tuning(judged.database, LOCAL_USER, judged.set_id, found)
    app = section(open_page, judged)
    assert "No better settings found: the present ones stay" in texts(app)
    assert "judged questions" in texts(app)
    assert not [one for one in app.button if one.key == "tuning_default"]


def test_a_small_set_is_refused_with_how_many_more_it_takes(open_page: OpenPage, judged: Judged) -> None:
    store_tuning(judged.database, LOCAL_USER, judged.set_id, make_findings(12))
    said = texts(section(open_page, judged))
    assert "Too few questions to tell" in said
    assert "8 more questions at least" in said


def test_a_viewer_reads_and_changes_nothing(open_page: OpenPage, database: Database, alice: UUID) -> None:
    theirs = Judged(database, alice)
    store_tuning(database, theirs.user, theirs.set_id, make_findings())
    with database.as_owner() as conn:
        conn.execute(
            "insert into collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            [theirs.collection, LOCAL_USER],
        )
    app = section(open_page, theirs)
    assert "Better settings found" in texts(app)
    assert not {one.key for one in app.button} & {"tuning_start", "tuning_save", "tuning_default", "tuning_delete"}


def test_the_download_has_every_setting_that_was_tried() -> None:
    found = make_findings()
    rows = list(csv.DictReader(io.StringIO(tried_csv(found).decode("utf-8-sig"))))
    assert len(rows) == len(found.tried)
    assert [row["present"] for row in rows].count("True") == 1
    assert [row["suggested"] for row in rows].count("True") == 1
