"""How tests are shared out when several processes test side by side."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling


class KeepBrowserTestsTogether(LoadFileScheduling):  # type: ignore[misc]  # the library has no types
    """A file stays in one process; so do all files that drive the one product in Chromium, in their order."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "tests/browser" if file.startswith("tests/browser/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> KeepBrowserTestsTogether:
    """Whatever ``--dist`` says."""
    return KeepBrowserTestsTogether(config, log)
