"""The link for an administrator who locked themselves out: it works, and is made for nobody else."""

from __future__ import annotations

import pytest

from rag.auth import signing_in
from rag.commands.cli_users import make_reset_link
from rag.errors import InvalidInput, NotFound
from rag.settings import Settings
from rag.store.database import Database
from tests.integration.door import ANN, BENS, LOCAL, OIDC, audit, change, make_first, make_person, sign_in


def test_the_link_opens_the_door_again(database: Database) -> None:
    make_first(database)
    link = make_reset_link(database, LOCAL, ANN.upper())
    address, _, token = link.partition("#")
    assert address == "http://127.0.0.1:8501/reset"
    assert audit(database)[-1] == ("password reset link made", ANN)
    assert token not in str(audit(database))
    signing_in.reset_password(database, token, BENS)
    sign_in(database, ANN, BENS)


def test_the_link_leads_where_people_reach_the_app(database: Database) -> None:
    make_first(database)
    public = LOCAL.model_copy(update={"public_url": "https://corpus.example.org"})
    assert make_reset_link(database, public, ANN).startswith("https://corpus.example.org/reset#")


@pytest.mark.parametrize("settings", [OIDC, Settings(_env_file=None)])
def test_no_link_where_nobody_has_a_password(database: Database, settings: Settings) -> None:
    make_first(database)
    with pytest.raises(InvalidInput, match="password"):
        make_reset_link(database, settings, ANN)


def test_no_link_for_nobody_or_a_closed_account(database: Database) -> None:
    with pytest.raises(InvalidInput, match="Nobody has an account yet"):
        make_reset_link(database, LOCAL, "local@corpuscope")
    make_first(database)
    for email in ("nobody@example.org", "nonsense", ""):
        with pytest.raises(NotFound):
            make_reset_link(database, LOCAL, email)
    ben = make_person(database)
    change(database, "update corpuscope.people set disabled_at = now() where user_id = %s", ben)
    with pytest.raises(InvalidInput, match="closed"):
        make_reset_link(database, LOCAL, "ben@example.org")
