"""What a database gives to people's roles by default, put aside while a migration makes tables and functions.

On Supabase projects, everything new in schema public used to be given to `anon` and `authenticated`; a team may have
kept that. Migrations say who may do what themselves: what came by default on top would be more than they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, sql

_KINDS = {"r": sql.SQL("tables"), "S": sql.SQL("sequences"), "f": sql.SQL("functions")}
#: Roles whose rights the migrations write out. The server's key may do everything, by default or not.
PEOPLE = ("anon", "authenticated")

_OPEN = """
    select d.defaclobjtype, a.grantee::regrole::text, array_agg(a.privilege_type order by a.privilege_type)
    from pg_default_acl d cross join aclexplode(d.defaclacl) a
    where d.defaclrole = (select oid from pg_roles where rolname = current_user)
      and d.defaclnamespace = to_regnamespace('public') and d.defaclobjtype in ('r', 'S', 'f')
      and a.grantee::regrole::text = any (%s)
    group by 1, 2 order by 1, 2
"""


@contextmanager
def set_aside(conn: Connection[Any]) -> Iterator[None]:
    """Nothing new in schema public is given to people by default in the block, within the transaction that runs."""
    rows = conn.execute(_OPEN, [list(PEOPLE)]).fetchall()
    for kind, role, _rights in rows:
        _change(conn, "revoke all on {kind} from {role}", kind, role)
    yield
    for kind, role, rights in rows:
        _change(conn, "grant {rights} on {kind} to {role}", kind, role, rights)


def _change(conn: Connection[Any], what: str, kind: str, role: str, rights: list[str] | None = None) -> None:
    names = sql.SQL(", ").join(sql.SQL(name) for name in rights or ())
    change = sql.SQL(what).format(kind=_KINDS[kind], role=sql.Identifier(role), rights=names)
    conn.execute(sql.SQL("alter default privileges in schema public ") + change)
