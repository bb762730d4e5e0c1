"""An Auth server for tests: Supabase's own small one (`@supabase/lite`), with its mailbox, and a stand-in for GitHub.

It keeps its accounts in a file of its own, signs with a secret (HS256), and has neither anonymous users nor PKCE in
the links of messages; a hosted project has all of these.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.folders import temporary_folder
from tests.supabase.gateway import free_port
from tests.supabase.tools import environment, node, tool

_START_S = 30
_MAIL_S = 10
_CONFIG = """
[api]
port = {port}

[db]
driver = "sqlite-postgres"
url = "file:./data.db"

[db.migrations]
schema_paths = []

[db.seed]
enabled = false

[auth]
enabled = true
site_url = "{address}"
additional_redirect_urls = ["http://127.0.0.1:*/**", "http://localhost:*/**"]
jwt_secret = "{secret}"
jwt_expiry = {expiry}
enable_signup = true
publishable_key = "{publishable}"
secret_key = "{own}"

[auth.email]
enable_signup = true
enable_confirmations = {confirm}
max_frequency = "0s"

[auth.external.github]
enabled = {github}
client_id = "corpuscope"
secret = "a-secret-of-the-stand-in"
redirect_uri = "{address}/auth/v1/callback"
url = "{provider}"
"""


@dataclass(frozen=True)
class AuthServer:
    """A running Auth server: where it is, its publishable key, and what it wrote, messages included."""

    address: str
    key: str
    jwt_secret: str
    log: Path
    running: subprocess.Popen[bytes]

    def code_for(self, email: str, *, number: int = 1) -> str:
        """The code of the ``number``-th message to an address; waits for it."""
        deadline = time.monotonic() + _MAIL_S
        while time.monotonic() < deadline:
            found = re.findall(rf"To: {re.escape(email)}\b.*?\b(\d{{6}})\b", self.written(), re.DOTALL)
            if len(found) >= number:
                return str(found[number - 1])
            time.sleep(0.05)
        raise AssertionError(f"no message number {number} to {email}")

    def messages_to(self, email: str) -> int:
        """How many were sent."""
        return len(re.findall(rf"To: {re.escape(email)}\b", self.written()))

    def written(self) -> str:
        """Everything so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def auth_server(*, provider: str = "", expiry: int = 3600, confirm: bool = True) -> Iterator[AuthServer]:
    """A server whose access tokens are good for ``expiry`` seconds; ``provider`` is where GitHub's stand-in is."""
    tool("lite")  # skips where it can't be had
    port, secret, key = free_port(), secrets.token_urlsafe(48), f"sb_publishable_{secrets.token_urlsafe(24)}"
    address = f"http://127.0.0.1:{port}"
    with temporary_folder("corpuscope-auth") as folder:
        (folder / "supabase").mkdir()
        config = _CONFIG.format(
            port=port,
            address=address,
            secret=secret,
            expiry=expiry,
            publishable=key,
            own=f"sb_secret_{secrets.token_urlsafe(24)}",
            confirm=str(confirm).lower(),
            github=str(bool(provider)).lower(),
            provider=provider,
        )
        (folder / "supabase" / "config.toml").write_text(config)
        log = folder / "output.log"
        with log.open("wb") as output:
            running = subprocess.Popen(
                [str(node()), str(tool("lite").resolve()), "start", "--no-admin"],
                cwd=folder,
                env=environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait(running, address, key, log)
            yield AuthServer(address, key, secret, log, running)
        finally:
            running.terminate()
            running.wait(10)


def _wait(running: subprocess.Popen[bytes], address: str, key: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"{address}/auth/v1/settings", headers={"apikey": key}, timeout=2, trust_env=False)
            if answer.status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"The Auth server did not start: {log.read_text(errors='replace')[-600:]}")
