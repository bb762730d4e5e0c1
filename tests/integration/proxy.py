"""The proxy of docs/scaling.md in front of apps, for tests: its own words with other addresses."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_S = 10.0


def find_haproxy() -> str | None:
    """Where Debian puts it is on no person's path."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def documented(port: int, apps: Sequence[str]) -> str:
    """The configuration that the guide shows, listening on ``port`` for ``apps`` (host:port)."""
    guide = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    found = re.search(r"```haproxy\n(.*?)```", guide, flags=re.DOTALL)
    assert found, "docs/scaling.md shows no configuration"
    places = iter(apps)
    text = re.sub(r"(?m)^( +server \w+ )\S+", lambda line: line[1] + next(places), found[1])
    assert next(places, None) is None, "the guide has fewer apps"
    return re.sub(r"bind .*", f"bind 127.0.0.1:{port}", text)


@contextlib.contextmanager
def running_proxy(program: str, folder: Path, apps: Sequence[str]) -> Iterator[str]:
    """HAProxy in front of ``apps``; its host:port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path = folder / "haproxy.cfg"
    path.write_text(documented(port, apps))
    running = subprocess.Popen([program, "-q", "-f", str(path)])
    try:
        _wait(running, port)
        yield f"127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)


def _wait(running: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("HAProxy did not start")
