"""The child process that parses: reads one request a line on standard input, answers with one frame each.

Started as ``python -m rag.reading.parser_child``. A request is a JSON object ``{"path", "name", "unpacked_bytes",
"memory_bytes", "seconds"}``; an answer is ``<length of the rest in bytes>\\n<JSON>``. It ends by itself
when its parent is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

_GRACE_SECONDS = 5
#: Address space beyond the resident limit: libraries and thread stacks that are mapped, not used.
_ADDRESS_SLACK = 3 * 2**30
#: py3langid unpacks its model into a temporary file of 65 MB; nothing else is ever written.
_MOST_WRITTEN = 100 * 2**20


def main() -> None:
    """Serve requests until standard input ends."""
    answers = _take_standard_output()
    _watch_parent(os.getppid())
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit(request)
        answer = json.dumps(_answer(request), ensure_ascii=False).encode("utf-8", "replace")
        _set_alarm(0)
        answers.write(b"%d\n" % len(answer) + answer)
        answers.flush()
    _leave()


def _leave() -> None:
    """Remove our folder, which is empty: when the parent was killed nobody else does."""
    with contextlib.suppress(OSError):
        os.rmdir(os.getcwd())


def _take_standard_output() -> BinaryIO:
    """Keep the answer pipe to ourselves: what native libraries print must not get between the frames."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _watch_parent(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        _leave()
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _limit(request: dict[str, Any]) -> None:
    """Hard limits from the kernel, behind the parent's own: they hold even when native code never returns."""
    _set_alarm(int(request["seconds"]) + _GRACE_SECONDS)
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_WRITTEN, _MOST_WRITTEN))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if sys.platform == "linux" and hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_AS, (int(request["memory_bytes"]) + _ADDRESS_SLACK, hard))


def _set_alarm(seconds: int) -> None:
    """SIGALRM without a Python handler ends the process even while native code holds the interpreter."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from rag.errors import CorpuscopeError, ParseLimit
    from rag.reading.readers import read_document

    try:
        parsed = read_document(Path(request["path"]), request["name"], int(request["unpacked_bytes"]))
    except CorpuscopeError as error:
        return {"error": type(error).__name__, "message": str(error), "hint": error.hint}
    except (MemoryError, RecursionError):
        return {"error": ParseLimit.__name__, "message": "", "hint": ParseLimit.hint}
    except Exception as error:  # noqa: BLE001 (whatever a hostile file breaks must become an answer; the log gets it)
        return {"error": "", "message": f"{type(error).__name__}: {error}"[:500], "hint": ""}
    return {
        "text": parsed.text,
        "page_starts": parsed.page_starts,
        "title": parsed.title,
        "media_type": parsed.media_type,
        "metadata": parsed.metadata,
    }


if __name__ == "__main__":
    main()
