"""The Edge Functions under Deno, as they are deployed: a copy of their folder beside the packages that they import."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx

from tests.supabase.gateway import free_port
from tests.supabase.tools import HERE, environment, node_modules, tool

FUNCTIONS = Path(__file__).resolve().parents[2] / "supabase" / "functions"
_START_S = 60


@contextlib.contextmanager
def laid_out() -> Iterator[Path]:
    """A folder with ``functions`` in it, in which Deno finds packages without a network."""
    with tempfile.TemporaryDirectory(prefix="corpuscope-edge-") as place:
        folder = Path(place)
        shutil.copytree(FUNCTIONS, folder / "functions")
        shutil.copy(HERE / "package.json", folder)
        (folder / "node_modules").symlink_to(node_modules())
        yield folder


def deno(folder: Path, command: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Deno's in a laid out folder; its outcome."""
    return subprocess.run(
        [str(tool("deno")), command, *arguments],
        cwd=folder,
        env=_environment(folder, 0, **settings),
        capture_output=True,
        text=True,
        timeout=240,
    )


@contextlib.contextmanager
def serving_function(name: str, entry: str = "index.ts", **settings: str) -> Iterator[Served]:
    """The function ``name`` on a port of this machine, with these secrets."""
    with laid_out() as folder, tempfile.TemporaryFile() as log:
        port = free_port()
        command = [str(tool("deno")), "run", "--no-prompt", "--cached-only", "--node-modules-dir=manual"]
        command += ["--allow-net", "--allow-env", f"--config=functions/{name}/deno.json", f"functions/{name}/{entry}"]
        served = Served(f"http://127.0.0.1:{port}", command, _environment(folder, port, **settings), folder, log)
        served.start()
        try:
            yield served
        finally:
            served.kill()


class Served:
    """A running function."""

    def __init__(self, url: str, command: list[str], env: dict[str, str], folder: Path, log: IO[bytes]) -> None:
        self.url = url
        self._command = command
        self._env = env
        self._folder = folder
        self._log = log
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; also again, after it was killed."""
        self._running = subprocess.Popen(
            self._command, cwd=self._folder, env=self._env, stdout=self._log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            assert self._running.poll() is None, f"the function ended: {self.said()}"
            with contextlib.suppress(httpx.HTTPError):
                httpx.options(self.url, timeout=5, trust_env=False)
                return
            time.sleep(0.1)
        raise AssertionError(f"the function did not start: {self.said()}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait(10)

    def said(self) -> str:
        """What it wrote into its log."""
        self._log.seek(0)
        return str(self._log.read().decode(errors="replace"))[-4000:]


def _environment(folder: Path, port: int = 0, **settings: str) -> dict[str, str]:
    own = {"DENO_DIR": str(folder / ".deno"), "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1", "HOME": str(folder)}
    if port:
        own["DENO_SERVE_ADDRESS"] = f"tcp:127.0.0.1:{port}"
    kept = {name: value for name, value in environment().items() if not name.startswith(("OPENAI_", "EMBED", "CHAT_"))}
    return kept | own | settings
