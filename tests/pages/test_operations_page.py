"""Operations: workers, queues and failed work in words."""

from __future__ import annotations

from rag.store.database import Database, connect
from tests.integration.library import Library
from tests.pages.conftest import OpenPage
from tests.pages.reading import texts


def test_workers_queue_and_versions_are_shown(open_page: OpenPage, library: Library, database: Database) -> None:
    with database.as_worker() as conn:
        conn.execute(
            "insert into corpuscope.workers (id, host, pid, state) values (gen_random_uuid(), 'secret-host', 1, 'busy')"
        )
    app = open_page("operations")
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Workers"] == "1"
    assert metrics["Busy"] == "1"
    queue = app.dataframe[0].value
    assert queue["Collection"].tolist() == ["Library"]
    assert queue["Ready"].tolist() == [2]
    said = texts(app)
    assert "Nothing was given up on" in said
    assert "Postgres" in said
    assert "secret-host" not in said


def test_failed_work_is_listed_and_retried(open_page: OpenPage, library: Library, database: Database) -> None:
    with connect(database.owner_dsn) as conn:
        conn.execute(
            "insert into public.failed_jobs (queue, message, collection_id, document_id, reason, hint, attempts)"
            " select 'ingest', '{}', collection_id, id, 'The file is broken.', 'Upload it again.', 3"
            " from public.documents where name = 'pump.md'"
        )
        conn.execute("update public.documents set stage = 'failed' where name = 'pump.md'")
    app = open_page("operations")
    failed = app.dataframe[1].value
    assert failed["reason"].tolist() == ["The file is broken."]
    assert failed["next"].tolist() == ["Upload it again."]
    app.button(key="retry").click().run()
    assert "Nothing was given up on" in texts(app)
