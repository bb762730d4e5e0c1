"""Runs, their comparison and their curves on the Evaluate page."""

from __future__ import annotations

from urllib.parse import parse_qs
from uuid import UUID

import pytest
from streamlit.testing.v1 import AppTest

from rag.evaluation.running import run
from rag.evaluation.runs import read_results
from rag.records import LOCAL_USER
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import list_versions, read_default, save_profile
from rag.store.database import Database
from tests.integration.judged import DOCUMENTS, Judged
from tests.pages.conftest import OpenPage
from tests.pages.visitors import press


@pytest.fixture
def judged(database: Database) -> Judged:
    return Judged(database, LOCAL_USER)


@pytest.fixture
def two_runs(judged: Judged) -> tuple[int, int]:
    """One by meaning, which is chance here, and one by words, which is right."""
    with judged.database.as_user(LOCAL_USER) as conn:
        profiles = [
            save_profile(conn, judged.collection, "Meaning", RetrievalProfile(mode="dense", k=5)),
            save_profile(conn, judged.collection, "Words", RetrievalProfile(mode="hybrid", dense_weight=0.1, k=5)),
        ]
    numbers = [judged.start(profile_id=one.id) for one in profiles]
    for number in numbers:
        run(judged.errand(), number)
    return numbers[0], numbers[1]


def section(open_page: OpenPage, judged: Judged, name: str, **query: str) -> AppTest:
    app = open_page("evaluate", collection=str(judged.collection), set=str(judged.set_id), **query)
    # AppTest binds no widget to the address.
    [switch] = [one for one in app.get("button_group") if one.key == "section"]
    switch.set_value(name).run()  # type: ignore[union-attr]
    assert not app.exception, app.exception[0].message
    return app


def texts(app: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "warning", "subheader")
    return " ".join(str(getattr(one, "value", "")) for kind in kinds for one in app.get(kind)).replace("\\", "")


def test_a_run_is_started_watched_and_cancelled(open_page: OpenPage, judged: Judged) -> None:
    app = section(open_page, judged, "runs")
    assert "Nothing was measured yet" in texts(app)
    assert f"{DOCUMENTS} questions · about 1 s, guessed" in texts(app)
    press(app, "run_start")
    [(number,)] = judged.rows("select id from public.evaluation_runs")
    assert judged.read(number).profile == RetrievalProfile()
    app = section(open_page, judged, "runs")
    assert "No worker is running" in texts(app)
    press(app, f"run_cancel_{number}")
    assert judged.read(number).state == "cancelled"
    app = section(open_page, judged, "runs")
    assert "was cancelled" in texts(app)
    press(app, "run_again")
    assert judged.read(number).state == "queued"


def test_several_profiles_are_run_at_once(open_page: OpenPage, judged: Judged, two_runs: tuple[int, int]) -> None:
    app = section(open_page, judged, "runs")
    profiles = app.multiselect(key=f"run_profiles_{judged.collection}")
    profiles.set_value([int(option) for option in _ids(judged)]).run()
    assert app.button(key="run_start").label == "Run 2 evaluations"
    assert "guessed" not in texts(app)
    press(app, "run_start")
    assert judged.rows("select count(*) from public.evaluation_runs where state = 'queued'") == [(2,)]


def _ids(judged: Judged) -> list[int]:
    return [id for (id,) in judged.rows("select id from public.retrieval_profiles order by id")]


def test_a_finished_run_shows_its_metrics_and_what_changed_since(
    open_page: OpenPage, judged: Judged, two_runs: tuple[int, int]
) -> None:
    app = section(open_page, judged, "runs")
    table = next(frame.value for frame in app.dataframe if "nDCG@10" in frame.value.columns)
    assert list(table["Run"]) == [f"#{two_runs[1]} Words v1", f"#{two_runs[0]} Meaning v1"]
    assert table["nDCG@10"][0].startswith("1.000 (1.000")
    assert "Measured by document" in texts(app)
    assert "changed since" not in texts(app)
    with judged.database.as_user(LOCAL_USER) as conn:
        conn.execute("delete from public.documents where id = %s", [judged.documents[0]])
    app = section(open_page, judged, "runs")
    assert "The corpus has changed since" in texts(app)
    assert "Judgements have changed since" in texts(app)
    press(app, "run_again")
    assert judged.read(two_runs[1]).state == "queued"


def test_a_run_is_deleted_after_a_question(open_page: OpenPage, judged: Judged, two_runs: tuple[int, int]) -> None:
    app = section(open_page, judged, "runs")
    press(app, "run_delete")
    press(app, "confirmation_do")
    assert judged.rows("select id from public.evaluation_runs") == [(two_runs[0],)]


def test_two_runs_are_compared_and_the_better_one_becomes_the_default(
    open_page: OpenPage, judged: Judged, two_runs: tuple[int, int]
) -> None:
    app = section(open_page, judged, "compare")
    assert f"#{two_runs[1]} Words v1** is better than **#{two_runs[0]} Meaning v1" in texts(app)
    assert "randomisation test" in texts(app)
    metrics = next(frame.value for frame in app.dataframe if "So it is" in frame.value.columns)
    first = metrics.iloc[0]
    assert (first["Metric"], first["So it is"], first["Losses"]) == ("nDCG@10", "better", 0)
    assert first["Wins"] + first["Ties"] == DOCUMENTS
    press(app, "compare_promote")
    press(app, "confirmation_do")
    with judged.database.as_user(LOCAL_USER) as conn:
        default = read_default(conn, judged.collection)
        assert default is not None
        assert default.name == "Words"
    press(app, "undo")
    with judged.database.as_user(LOCAL_USER) as conn:
        assert read_default(conn, judged.collection) is None


def test_a_question_is_one_click_from_the_lab_with_both_profiles(
    open_page: OpenPage, judged: Judged, two_runs: tuple[int, int]
) -> None:
    app = section(open_page, judged, "compare")
    links = [one.proto for one in app.get("page_link") if "Where is the" in one.proto.label]
    assert links
    query = parse_qs(links[0].query_string)
    assert query["q"][0].startswith("Where is the")
    assert (query["mode"], query["vs_mode"]) == (["dense"], ["hybrid"])
    assert query["index"] == query["vs_index"] == [str(judged.index)]


def test_runs_measured_with_different_judgements_are_said_to_be(
    open_page: OpenPage, judged: Judged, two_runs: tuple[int, int]
) -> None:
    judged.judge(judged.questions[0], judged.documents[1])
    with judged.database.as_user(LOCAL_USER) as conn:
        conn.execute("select public.resume_evaluation(%s)", [two_runs[0]])
    run(judged.errand(), two_runs[0])
    app = section(open_page, judged, "compare")
    assert "different judgements" in texts(app)
    press(app, "compare_again")
    assert judged.rows("select count(*) from public.evaluation_runs where state = 'queued'") == [(2,)]


def test_one_run_is_too_few_to_compare(open_page: OpenPage, judged: Judged) -> None:
    app = section(open_page, judged, "compare")
    assert "0 finished runs" in texts(app)


def test_a_point_of_a_curve_becomes_a_new_version(
    open_page: OpenPage, judged: Judged, two_runs: tuple[int, int]
) -> None:
    app = section(open_page, judged, "curves")
    assert "as the profile has it" in texts(app)
    app.slider(key=f"curve_k_{two_runs[1]}").set_value(9).run()
    press(app, "curve_apply_k")
    assert "9, before 5" in texts(app)
    press(app, "confirmation_do")
    with judged.database.as_user(LOCAL_USER) as conn:
        newest = list_versions(conn, judged.collection, "Words")[0]
    assert (newest.version, newest.profile.k) == (2, 9)
    assert newest.profile.dense_weight == 0.1
    app = section(open_page, judged, "curves")
    slider = app.slider(key=f"curve_threshold_{two_runs[1]}")
    slider.set_value(slider.max - 0.05).run()
    press(app, "curve_apply_threshold")
    press(app, "confirmation_do")
    with judged.database.as_user(LOCAL_USER) as conn:
        newest = list_versions(conn, judged.collection, "Words")[0]
    assert newest.profile.threshold is not None
    assert newest.profile.k == 5


def test_a_viewer_reads_and_changes_nothing(
    open_page: OpenPage, judged: Judged, two_runs: tuple[int, int], alice: UUID
) -> None:
    with judged.database.as_owner() as conn:
        conn.execute(
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'owner')",
            [judged.collection, alice],
        )
        conn.execute("update public.collection_members set role = 'viewer' where user_id = %s", [LOCAL_USER])
    acts = {"run_start", "run_delete", "run_again", "compare_promote", "curve_apply_k", "curve_apply_none"}
    for name in ("runs", "compare", "curves"):
        app = section(open_page, judged, name)
        assert not acts & {one.key for one in app.button}
    with judged.database.as_user(LOCAL_USER) as conn:
        assert len(read_results(conn, two_runs[0])) == DOCUMENTS
