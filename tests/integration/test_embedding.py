"""The embed job: vectors follow content, whoever changes it and whatever fails."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.database import Database
from rag.settings import Settings
from tests.integration.workshop import Workshop, prose


@pytest.fixture
def shop(database: Database, alice: UUID) -> Workshop:
    return Workshop(database, Settings(_env_file=None), alice)


def test_an_upload_becomes_searchable(shop: Workshop) -> None:
    document = shop.store("a.txt", prose(200))
    shop.finish()
    assert shop.stage(document) == "ready"
    assert shop.check_vectors() > 100
    assert max(shop.embedder.asked.values()) == 1
