"""A worker process for the drills: only answers, with the embedder of :mod:`tests.integration.library`.

python -m tests.integration.answer_worker APP_DSN OWNER_DSN BASE_URL LEASE_S
"""

from __future__ import annotations

import logging
import signal
import sys
import threading

from rag.store.database import Database
from rag.work.worker import run_worker
from tests.integration.library import SharedWords, settings_for


def main(app_dsn: str, owner_dsn: str, base_url: str, lease_s: str) -> None:
    """Work until a signal."""
    logging.basicConfig(level="INFO")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Database(app_dsn, owner_dsn) as database:
        run_worker(
            settings_for(base_url),
            database,
            stop=stop,
            load_embedder=lambda settings: SharedWords(),
            queues=("answer",),
            lease_s=float(lease_s),
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
