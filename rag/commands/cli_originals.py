"""`corpuscope originals`: where the files of documents are, and moving them between the database and the bucket."""

from __future__ import annotations

import threading
import time
from argparse import Namespace
from contextlib import closing
from dataclasses import asdict, dataclass, field

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import LOOK_S, Session, open_session
from rag.corpus.bucket import Bucket, open_bucket
from rag.corpus.progress import RateMeter
from rag.errors import CorpuscopeError, DatabaseError, InvalidInput, SettingsError, StorageBusy
from rag.settings import Settings
from rag.store.database import Database
from rag.work.moving_originals import Mover, Overview, read_failing, read_overview, remove_loose, retry_failed

_MOST_SHOWN = 20
_DAY_S = 86_400


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """What the first argument says; 1 when something could not be moved."""
    with open_session(settings, out, model=False) as session:
        return act(arguments, session)


def act(arguments: Namespace, session: Session) -> int:
    """The same with a database that is open already."""
    if (arguments.action == "move") != (arguments.to is not None):
        raise InvalidInput("Moving needs a goal.", hint="Say: corpuscope originals move --to supabase (or database)")
    if arguments.action == "status":
        return _show(session.database, session.out)
    to_bucket = arguments.to == "supabase"
    with closing(_require_bucket(session.settings, to_bucket=to_bucket)) as bucket:
        return _move(session, bucket, to_bucket=to_bucket, at_once=arguments.at_once)


def _show(database: Database, out: Output) -> int:
    with database.as_worker() as conn:
        overview, failing = read_overview(conn), read_failing(conn, _MOST_SHOWN)
    rows = [
        ("database", overview.in_database, overview.bytes_in_database),
        ("bucket", overview.in_bucket, overview.bytes_in_bucket),
    ]
    lines = [table(rows, ("originals in", "files", "bytes"))]
    if overview.moving:
        lines.append(f"{overview.moving:,} being moved")
    if overview.loose:
        lines.append(f"{overview.loose:,} objects wait to be removed from the bucket, or are being sent to it")
    if failing:
        lines.append(f"{overview.failing:,} could not be moved so far:")
        lines += [f"  {name}: {error} {hint}".rstrip() for name, error, hint in failing]
    value = asdict(overview) | {
        "failures": [{"name": name, "error": error, "hint": hint or None} for name, error, hint in failing]
    }
    out.result(value, "\n".join(lines))
    return 0


@dataclass
class _Run:
    """What the threads of one run have done, and the error that ended it for all."""

    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    files: int = 0
    bytes: int = 0
    failed: int = 0
    fatal: CorpuscopeError | None = None


def _move(session: Session, bucket: Bucket, *, to_bucket: bool, at_once: int) -> int:
    began = time.monotonic()
    if to_bucket:
        bucket.ensure()
    with session.database.as_worker() as conn:
        retry_failed(conn)
        before = read_overview(conn)
    run = _Run()
    threads = [
        threading.Thread(target=_work, args=(Mover(session.database, bucket, run.stop), run, to_bucket), daemon=True)
        for _ in range(at_once)
    ]
    for thread in threads:
        thread.start()
    try:
        _watch(session.out, run, threads, _left(before, to_bucket=to_bucket))
    finally:
        run.stop.set()
        for thread in threads:
            thread.join()
    if run.fatal is not None:
        raise run.fatal
    while remove_loose(session.database, bucket):
        session.out.show("Removing from the bucket what belongs to no document…")
    return _report(session, run, to_bucket=to_bucket, seconds=time.monotonic() - began)


def _require_bucket(settings: Settings, *, to_bucket: bool) -> Bucket:
    bucket = open_bucket(settings)
    if bucket is None:
        raise SettingsError("There is no key to a bucket.", hint="Set SUPABASE_URL and SUPABASE_SECRET_KEY.")
    if not to_bucket and settings.originals == "supabase":
        raise InvalidInput(
            "With ORIGINALS=supabase the workers would bring every original back to the bucket.",
            hint="Set ORIGINALS=database, restart the workers, then move.",
        )
    return bucket


def _work(mover: Mover, run: _Run, to_bucket: bool) -> None:
    """Move until nothing is left that may be moved now. A bucket or a database that is away ends the whole run."""
    while not run.stop.is_set():
        try:
            move = mover.move_next(to_bucket=to_bucket)
        except (StorageBusy, DatabaseError) as error:
            run.fatal = error
            run.stop.set()
            return
        except CorpuscopeError:
            with run.lock:
                run.failed += 1
            continue
        if move is None:
            return
        with run.lock:
            run.files, run.bytes = run.files + 1, run.bytes + move.size


def _watch(out: Output, run: _Run, threads: list[threading.Thread], left: tuple[int, int]) -> None:
    meter = RateMeter()
    files, size = left
    while any(thread.is_alive() for thread in threads):
        meter.feed(time.monotonic(), run.bytes)
        out.show(describe(run.files, files, run.bytes, size, meter.rate))
        time.sleep(LOOK_S)


def describe(files: int, of_files: int, bytes: int, of_bytes: int, rate: float | None) -> str:
    """How far moving is, as in "Moved 3 of 40 originals, 12 of 300 MB, 4.0 MB/s, about 72 s left"."""
    done = f"Moved {files:,} of {of_files:,} originals, {bytes / 1e6:,.0f} of {of_bytes / 1e6:,.0f} MB"
    if not rate:
        return done
    left = min(max(0, of_bytes - bytes) / rate, 99 * _DAY_S)
    words = f"{left:,.0f} s" if left < 120 else f"{left / 60:,.0f} min" if left < 7200 else f"{left / 3600:,.0f} h"
    return f"{done}, {rate / 1e6:.1f} MB/s, about {words} left"


def _left(overview: Overview, *, to_bucket: bool) -> tuple[int, int]:
    if to_bucket:
        return overview.in_database, overview.bytes_in_database
    return overview.in_bucket, overview.bytes_in_bucket


def _report(session: Session, run: _Run, *, to_bucket: bool, seconds: float) -> int:
    with session.database.as_worker() as conn:
        left, _ = _left(read_overview(conn), to_bucket=to_bucket)
        failing = read_failing(conn, _MOST_SHOWN)
    lines = [f"{run.files:,} originals moved, {run.bytes / 1e6:,.1f} MB in {seconds:,.1f} s."]
    if run.failed:
        lines.append(f"{run.failed:,} could not be moved and are where they were:")
        lines += [f"  {name}: {error} {hint}".rstrip() for name, error, hint in failing]
    if left > run.failed:
        lines.append(f"{left - run.failed:,} wait until they have been read, or are being moved by another process.")
    value = {"moved": run.files, "bytes": run.bytes, "seconds": round(seconds, 3), "failed": run.failed, "left": left}
    session.out.result(value, "\n".join(lines))
    return 1 if run.failed else 0
