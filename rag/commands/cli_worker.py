"""`corpuscope worker`: one worker in the foreground."""

from __future__ import annotations

import logging
import os
import signal
import threading
from argparse import Namespace

from rag.commands.cli_output import Output
from rag.settings import Settings
from rag.store.database import open_database
from rag.work.worker import run_worker


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Work until SIGTERM or Ctrl-C; what is under way is finished or given back."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    with open_database(settings, on_progress=out.say) as database:
        out.say("The worker runs. Ctrl-C stops it.")
        ended = run_worker(settings, database, stop=stop)
    out.result({"status": "stopped"}, "The worker has stopped.")
    if not ended:
        logging.shutdown()
        os._exit(0)  # a thread that hangs in foreign code would hold the process
    return 0
