"""The fixture `project`: its tests run on a project here, and on a hosted one where its keys are given."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.conftest import ALICE, BOB
from tests.supabase.stack import Project, hosted_project, project_here

HOSTED = (
    "SUPABASE_TEST_URL",
    "SUPABASE_TEST_DB_URL",
    "SUPABASE_TEST_PUBLISHABLE_KEY",
    "SUPABASE_TEST_SECRET_KEY",
)


@pytest.fixture(scope="module", params=["here", "hosted"])
def project(request: pytest.FixtureRequest) -> Iterator[Project]:
    """A Supabase project that the tests of a module share."""
    if request.param == "hosted":
        values = [os.environ.get(name, "") for name in HOSTED]
        missing = [name for name, value in zip(HOSTED, values, strict=True) if not value]
        if missing:
            pytest.skip(f"no hosted Supabase project was given: {', '.join(missing)} not set")
        with hosted_project(*values) as hosted:
            yield hosted
        return
    database = request.getfixturevalue("module_database")
    people = {"alice": (ALICE, "alice@example.org"), "bob": (BOB, "bob@example.org")}
    with project_here(database, people) as here:
        yield here
