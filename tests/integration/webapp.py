"""The app itself for tests, as `corpuscope` serves it, over a database of the test's: with its gate, and its log."""

from __future__ import annotations

import contextlib
import html
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import httpx

from rag.commands.appserver import app_arguments
from rag.commands.children import settings_environment
from rag.settings import Settings
from rag.store.database import Database
from tests.conftest import temporary_home

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
#: What a page of ours sends with its forms.
FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}
SESSION = "corpuscope_session"


@dataclass
class WebApp:
    """One running app. ``tokens`` are the secrets that browsers were given, to be looked for where none belongs."""

    settings: Settings
    database: Database
    log: Path
    tokens: set[str] = field(default_factory=set)
    browsers: list[Browser] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.settings.corpuscope_port}"

    @property
    def address(self) -> str:
        return f"http://{self.host}"

    def browser(self, session: str | None = None) -> Browser:
        """A browser without anything, or with the session cookie that somebody has."""
        self.browsers.append(Browser(self, session))
        return self.browsers[-1]


class Browser(httpx.Client):
    """A browser's cookies and headers, without the rest; it follows no redirect by itself."""

    def __init__(self, app: WebApp, session: str | None = None) -> None:
        super().__init__(
            base_url=app.address,
            timeout=30,
            headers={"Origin": app.address, "User-Agent": "Firefox/1"},
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._webapp = app
        if session is not None:
            self.cookies.set(SESSION, session, domain="127.0.0.1")

    @property
    def session(self) -> str | None:
        """The cookie that signs it in."""
        held = self.cookies.get(SESSION)
        return held.strip('"') if held else None

    def submit(self, path: str, **fields: str) -> httpx.Response:
        """Post a form as a page of ours does."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}  # also where there are no fields
        response = self.post(path, content=urlencode(fields), headers={**FROM_OUR_PAGE, **form})
        if self.session:
            self._webapp.tokens |= {self.session, self.session.partition(".")[0]}
        return response

    def open_link(self, path: str, token: str) -> httpx.Response:
        """Open a link with a secret behind its #, as the script of that page does."""
        return self.submit(path, link=token)


def goal_of(response: httpx.Response) -> str:
    """Where a redirect leads."""
    assert response.status_code == 303, (response.status_code, response.text[:300])
    return response.headers["location"]


def said(response: httpx.Response) -> str:
    """A page's words."""
    text = re.sub(r"<(script|style).*?</\1>", "", response.text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


@contextlib.contextmanager
def running_app(database: Database, **changes: object) -> Iterator[WebApp]:
    """Start the app with AUTH=local, or whatever ``changes`` say, in a home of its own; stop it at the end."""
    with temporary_home() as home:
        home.mkdir(parents=True)
        values = {"corpuscope_home": home, "corpuscope_port": _free_port(), "auth": "local", **changes}
        settings = Settings(_env_file=None, database_url=database.owner_dsn, **values)  # type: ignore[arg-type]
        app = WebApp(settings, database, home / "app.log")
        with app.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *app_arguments(settings)],
                cwd=ROOT,
                env={**os.environ, **settings_environment(settings)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(app, process)
            yield app
        finally:
            for browser in app.browsers:
                browser.close()
            process.terminate()
            process.wait(30)


def _wait_for(app: WebApp, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, app.log.read_text()
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{app.address}/sign-in", timeout=5).status_code != 503:
                return
        time.sleep(0.1)
    raise AssertionError(f"The app did not open its database within {PATIENCE_S} s: {app.log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
