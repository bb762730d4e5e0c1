"""Our own pages: templates, what every page's headers forbid, and the files that they use."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript"}

#: Nothing from elsewhere, no script in the page, no frame around it. The origin of our own forms must stay readable,
#: so that the policy on referrers can't be stricter; no address of ours holds a secret.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; font-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def show(template: str, *, status: int = 200, **values: Any) -> Response:
    """The page that a template makes of ``values``."""
    # Jinja is imported with the first page of ours: most installations never show one.
    page = _templates().get_template(f"{template}.html").render(values)
    return HTMLResponse(page, status_code=status, headers=PAGE_HEADERS)


def go_to(address: str) -> Response:
    """Send the browser there with a plain GET."""
    return RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )


def serve_file(request: Request) -> Response:
    """A style sheet or a script of ours, and nothing else."""
    path = _files().get(request.path_params["name"])
    if path is None:
        return Response(status_code=404)
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=headers)


@cache
def _files() -> dict[str, Path]:
    return {path.name: path for path in (_HERE / "static").iterdir() if path.suffix in _TYPES}
