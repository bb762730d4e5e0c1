"""A stand-in for GitHub's sign-in, as an Auth server talks to it: a page with names to click on, a token, a profile."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.supabase.gateway import serving


@dataclass
class GitHub:
    """People by name, with their address and whether GitHub checked that; who a code or token stands for."""

    people: dict[str, tuple[str, bool]]
    given: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/login/oauth/authorize", self._ask),
                Route("/login/oauth/access_token", self._give, methods=["POST"]),
                Route("/api/v3/user", self._profile),
                Route("/api/v3/user/emails", self._addresses),
            ]
        )

    def _ask(self, request: Request) -> Response:
        """Each name is a link back, with a code for that person; one more turns back."""
        back, state = request.query_params["redirect_uri"], request.query_params["state"]
        links = []
        for name in self.people:
            code = secrets.token_urlsafe(16)
            self.given[code] = name
            links.append((name, urlencode({"code": code, "state": state})))
        links.append(("Deny", urlencode({"error": "access_denied", "error_description": "No.", "state": state})))
        return HTMLResponse("".join(f'<p><a href="{back}?{query}">{name}</a></p>' for name, query in links))

    async def _give(self, request: Request) -> Response:
        form = (await request.body()).decode()
        code = next(part.removeprefix("code=") for part in form.split("&") if part.startswith("code="))
        name = self.given.pop(code, None)
        if name is None:
            return JSONResponse({"error": "bad_verification_code"})
        token = secrets.token_urlsafe(16)
        self.given[token] = name
        return JSONResponse({"access_token": token, "token_type": "bearer", "scope": "user:email"})

    def _profile(self, request: Request) -> Response:
        name = self._who(request)
        return JSONResponse({"id": list(self.people).index(name) + 1, "login": name.lower(), "name": name})

    def _addresses(self, request: Request) -> Response:
        email, verified = self.people[self._who(request)]
        return JSONResponse([{"email": email, "verified": verified, "primary": True}])

    def _who(self, request: Request) -> str:
        return self.given[request.headers["authorization"].removeprefix("Bearer ")]


@contextlib.contextmanager
def github(**people: tuple[str, bool]) -> Iterator[str]:
    """A running one; its address."""
    with serving(GitHub(people)) as address:  # type: ignore[arg-type]
        yield address
