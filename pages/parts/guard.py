"""The gate of this app, and the routes behind it: what rag.web needs of the process and of Streamlit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from pages.parts.product import product, settings

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    from rag.settings import Settings
    from rag.web.entrance import Entrance


def is_guarded() -> bool:
    """Whether anybody has to sign in."""
    return settings().auth != "none"


def entrance() -> Entrance:
    """The one of this process; nothing in it belongs to a person."""
    return _entrance(settings())


@cache
def _entrance(chosen: Settings) -> Entrance:
    from rag.web.entrance import Entrance

    return Entrance(chosen, lambda: product().database, _Provider() if chosen.auth == "oidc" else None)


def routes() -> list[BaseRoute]:
    """The pages of the sign-in; none with AUTH=none."""
    if not is_guarded():
        return []
    from rag.web.site import routes

    return routes(entrance())


def data_routes() -> list[BaseRoute]:
    """What the browser asks for beside pages: the points of maps, originals, and hints that something has changed."""
    from rag.auth.identity import LOCAL_IDENTITY
    from rag.web import files, live, points

    everybody = None if is_guarded() else LOCAL_IDENTITY
    return [
        *points.routes(lambda: product().database, everybody),
        *files.routes(lambda: product().database, lambda: product().originals, everybody),
        *live.routes(entrance(), lambda: product().feed),
    ]


def middleware() -> list[Middleware]:
    """The gate. Who is at it can't be told without the database, so that opening that begins with the process."""
    if not is_guarded():
        return []
    product()
    from starlette.middleware import Middleware

    from rag.web.gate import SessionGate

    return [Middleware(SessionGate, entrance=entrance())]


def provider_secrets() -> dict[str, Any] | None:
    """What Streamlit has to know to talk to the OpenID provider, in the words of its secrets file."""
    chosen = settings()
    if chosen.auth != "oidc":
        return None
    from rag.commands.appserver import address

    return {
        "auth": {
            "redirect_uri": f"{chosen.public_url or address(chosen)}/oauth2callback",
            "cookie_secret": _framework_key(),
            "client_id": chosen.oidc_client_id,
            "client_secret": chosen.oidc_client_secret.get_secret_value(),
            "server_metadata_url": chosen.oidc_metadata_url,
        }
    }


def _framework_key() -> str:
    """Streamlit's own key for cookies, made of ours."""
    import hmac

    return hmac.digest(entrance().key, b"streamlit cookies", "sha256").hex()


class _Provider:
    """The OpenID provider, reached through Streamlit's machinery."""

    def address(self) -> str:
        from streamlit.user_info import generate_login_redirect_url

        return generate_login_redirect_url("default")

    def claims(self, answer: Mapping[str, str]) -> Mapping[str, Any] | None:
        from streamlit.auth_util import get_cookie_with_chunks
        from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
        from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

        def read(name: str) -> bytes | None:
            return decode_signed_value(_framework_key(), name, answer[name]) if answer.get(name) else None

        found = get_cookie_with_chunks(read, USER_COOKIE_NAME)
        claims = json.loads(found) if found else None
        return claims if isinstance(claims, dict) else None

    def is_its_cookie(self, name: str) -> bool:
        from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

        # The tokens' cookie begins with the same name.
        return name.startswith(USER_COOKIE_NAME)
