"""What a Supabase project's Auth server says when it refuses something, in our errors and words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rag.errors import CorpuscopeError, InvalidInput, NotAllowed, SignInBlocked, SignInRefused, SignInUnavailable

_log = logging.getLogger(__name__)

_WAIT_S = 60.0
_BUSY = frozenset({"over_request_rate_limit", "over_email_send_rate_limit"})
_OFF = frozenset(
    {
        "signup_disabled",
        "otp_disabled",
        "email_provider_disabled",
        "provider_disabled",
        "anonymous_provider_disabled",
        "email_address_not_authorized",
        "oauth_provider_not_supported",
    }
)
_BEGUN_ELSEWHERE = frozenset({"bad_code_verifier", "flow_state_not_found", "flow_state_expired", "bad_oauth_state"})


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the client raises into our errors; what else goes wrong with the server is its absence."""
    import httpx
    from pydantic import ValidationError
    from supabase_auth.errors import AuthError

    try:
        yield
    except AuthError as error:
        raise _translate(error) from error
    except (httpx.HTTPError, ValidationError) as error:
        raise SignInUnavailable("The Supabase project's Auth can't be reached, or isn't one.") from error


def _translate(error: Exception) -> CorpuscopeError:
    code, status = str(getattr(error, "code", None) or ""), int(getattr(error, "status", 0) or 0)
    if code in _BUSY or status == 429:
        return SignInBlocked(
            "The Supabase project takes no more tries for a while.", retry_after=_WAIT_S, hint="Try again in a minute."
        )
    if known := _known(code, str(error)):
        return known
    _log.warning("The Supabase project's Auth refused something: %s, status %s.", code or "no code", status)
    if status in (0, 401) or status >= 500:  # 401 without a code of Auth's own: the gateway doesn't know our key
        return SignInUnavailable("The Supabase project's Auth can't be reached, or refuses our key.")
    return SignInRefused("The Supabase project refused that.", hint="Try again, or ask an administrator.")


def _known(code: str, said: str) -> CorpuscopeError | None:
    if code in _OFF:
        return NotAllowed("That is switched off in the Supabase project.", hint="Ask an administrator.")
    if code in _BEGUN_ELSEWHERE:
        return SignInRefused(
            "This sign-in was begun in another browser, or too long ago.", hint="Begin again in this one."
        )
    match code:
        case "invalid_credentials":
            return SignInRefused(hint="Try again, let a code be sent to you, or choose a new password.")
        case "email_not_confirmed":
            return SignInRefused("This e-mail address isn't confirmed yet.", hint="Let a code be sent to you.")
        case "otp_expired":
            return SignInRefused("This code is wrong, was used already, or has expired.", hint="Ask for another one.")
        case "user_banned":
            return NotAllowed("This account was closed at the Supabase project.", hint="Ask an administrator.")
        case "weak_password" | "email_address_invalid" | "validation_failed":
            return InvalidInput(said)
        case "same_password":
            return InvalidInput("That is the password that you have.")
        case "user_already_exists" | "email_exists":
            return InvalidInput("There is an account with this e-mail address already.", hint="Sign in to it.")
        case "session_not_found" | "session_expired" | "refresh_token_not_found" | "refresh_token_already_used":
            return SignInRefused("The session has ended at the Supabase project.", hint="Sign in again.")
        case "user_not_found":
            return SignInRefused("The account is gone from the Supabase project.", hint="Ask an administrator.")
    return None
