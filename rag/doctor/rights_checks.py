"""Who may do what: policies on every table, and roles that can't get around them."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from rag.doctor.checkup import Check, fail, listed, ok, skipped, warn
from rag.store.bootstrap import is_stand_in
from rag.store.database import ACCOUNTS_ROLE, WORKER_ROLE

_OURS = ["public", "corpuscope", "api"]
_PEOPLE = ["anon", "authenticated"]
_NARROW = [WORKER_ROLE, ACCOUNTS_ROLE]

#: In `corpuscope`, which is exposed to nobody, tables that people have no right to need no policies.
_UNPROTECTED = """
    select format('%%I.%%I', n.nspname, c.relname), c.relkind
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join pg_depend d on d.objid = c.oid and d.deptype = 'e'
    where n.nspname = any (%(ours)s) and d.objid is null and (
        c.relkind in ('r', 'p') and not c.relrowsecurity
        and (n.nspname <> 'corpuscope' or exists (
            select from unnest(%(people)s::text[]) person
            where has_table_privilege(person, c.oid, 'select, insert, update, delete')
            or has_any_column_privilege(person, c.oid, 'select, insert, update')))
        or c.relkind = 'v' and n.nspname <> 'corpuscope'
        and not coalesce(c.reloptions::text ~ 'security_invoker=(true|on|1)', false))
    order by 1
"""


def check_policies(conn: Connection[Any]) -> Check:
    """Row level security on every table, and views that ask it as whoever looks."""
    rows = conn.execute(_UNPROTECTED.encode(), {"ours": _OURS, "people": _PEOPLE}).fetchall()
    tables, views = ([name for name, kind in rows if (kind == "v") is wanted] for wanted in (False, True))
    if tables:
        step = " ".join(f"alter table {name} enable row level security;" for name in tables[:3])
        return fail("policies", f"Without row level security: {listed(tables)}.", step)
    if views:
        step = " ".join(f"alter view {name} set (security_invoker = true);" for name in views[:3])
        return fail("policies", f"Shown with their owner's rights: {listed(views)}.", step)
    row = conn.execute(
        "select count(*) from pg_class c where c.relnamespace::regnamespace::text = any (%s) and c.relrowsecurity",
        [_OURS],
    ).fetchone()
    return ok("policies", f"Row level security on all {row[0] if row else 0} tables that anybody has a right to.")


def check_grants(conn: Connection[Any]) -> Check:
    """What older Supabase projects give to everybody by default, and no policy holds back or no migration wants."""
    rows = conn.execute(
        "select format('%%I.%%I', n.nspname, c.relname), r.role from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace cross join unnest(%s::text[]) r(role)"
        " where n.nspname = any (%s) and c.relkind in ('r', 'p')"
        " and (has_table_privilege(r.role, c.oid, 'truncate') or has_table_privilege(r.role, c.oid, 'references')"
        " or has_table_privilege(r.role, c.oid, 'trigger')) order by 1, 2",
        [_PEOPLE, _OURS],
    ).fetchall()
    if rows:
        names = sorted({name for name, _role in rows})
        return fail(
            "grants",
            f"anon or authenticated may do to tables what no policy holds back (truncate): {listed(names)}.",
            "revoke truncate, references, trigger on all tables in schema public, corpuscope, api"
            " from anon, authenticated;",
        )
    open_to = [
        role
        for (role,) in conn.execute(
            "select distinct a.grantee::regrole::text from pg_default_acl d cross join aclexplode(d.defaclacl) a"
            " where d.defaclrole = 'postgres'::regrole and d.defaclobjtype in ('r', 'f')"
            " and d.defaclnamespace in (0, to_regnamespace('public'))"
            " and a.grantee::regrole::text in ('anon', 'authenticated') order by 1"
        )
    ]
    if open_to:
        roles = ", ".join(open_to)
        return warn(
            "grants",
            f"What is made in schema public is given to {roles} by default; corpuscope migrate puts that aside.",
            "Don't use supabase db push before: alter default privileges for role postgres in schema public"
            f" revoke all on tables from {roles}; and the same for functions and sequences.",
        )
    return ok("grants", "Nobody may do to a table what no policy holds back.")


def check_roles(conn: Connection[Any]) -> Check:
    """That people's roles can't get around policies, and that the login may take on those that we need."""
    attributes = {
        name: (bypasses, inherits)
        for name, bypasses, inherits in conn.execute(
            "select rolname, rolbypassrls or rolsuper, rolinherit from pg_roles where rolname = any (%s)",
            [[*_PEOPLE, *_NARROW, "service_role", "authenticator"]],
        )
    }
    missing = [name for name in (*_PEOPLE, *_NARROW, "service_role", "authenticator") if name not in attributes]
    if missing:
        return fail("roles", f"Missing: {listed(missing)}.", "Run corpuscope migrate.")
    free = [name for name in (*_PEOPLE, *_NARROW, "authenticator") if attributes[name][0]]
    if free:
        step = " ".join(f"alter role {name} nobypassrls;" for name in free)
        return fail("roles", f"Policies don't hold for {listed(free)}.", step)
    if attributes["authenticator"][1]:
        return fail(
            "roles", "authenticator has the rights of all its roles at once.", "alter role authenticator noinherit;"
        )
    return _check_memberships(conn)


def _check_memberships(conn: Connection[Any]) -> Check:
    kind = "set" if conn.info.server_version >= 160000 else "member"
    closed = [
        name
        for (name,) in conn.execute(
            "select r from unnest(%s::text[]) r where not pg_has_role(current_user, r, %s)",
            [[*_PEOPLE, *_NARROW], kind],
        )
    ]
    if closed:
        step = f"grant {', '.join(closed)} to {conn.info.user.split('.')[0]};"
        return fail("roles", f"The login of DATABASE_URL may not become {listed(closed)}.", step)
    crossing = [
        f"{person} → {narrow}"
        for person, narrow in conn.execute(
            "select p, w from unnest(%s::text[]) p, unnest(%s::text[]) w where pg_has_role(p, w, 'member')",
            [_PEOPLE, [*_NARROW, "service_role"]],
        )
    ]
    if crossing:
        return fail("roles", f"People may take on the server's roles: {listed(crossing)}.", "Revoke those memberships.")
    row = conn.execute("select rolbypassrls, rolsuper from pg_roles where rolname = current_user").fetchone()
    bypasses, superuser = row if row is not None else (False, False)
    if superuser:
        return warn(
            "roles",
            "The login of DATABASE_URL is a superuser's.",
            "Use one with the attributes of Supabase's postgres: no superuser, BYPASSRLS.",
        )
    how = (
        "has BYPASSRLS, as Supabase's does; each transaction gives it up" if bypasses else "is held by policies itself"
    )
    return ok("roles", f"People's roles are held by policies. The login {how}.")


def check_channels(conn: Connection[Any]) -> Check:
    """The policies on Realtime's and Storage's own tables."""
    return _check_foreign_policies(conn, "channel policies", "realtime.messages", "select")


def check_storage_policies(conn: Connection[Any]) -> Check:
    """That people's own policies can't open originals."""
    return _check_foreign_policies(conn, "storage policies", "storage.objects", "select")


def _check_foreign_policies(conn: Connection[Any], question: str, table: str, verb: str) -> Check:
    row = conn.execute(
        "select c.relrowsecurity, (select count(*) from pg_policy p where p.polrelid = c.oid"
        " and p.polname like 'Corpuscope:%%') from pg_class c where c.oid = to_regclass(%s)",
        [table],
    ).fetchone()
    if row is None:
        return skipped(question, f"This database has no {table}.")
    protected, count = row
    if not protected:
        return fail(question, f"{table} has no row level security.", "Supabase's own default is on: ask its support.")
    if not count:
        return fail(question, f"{table} lacks the policies of the migrations.", "Run corpuscope migrate.")
    where = " (our stand-in)" if is_stand_in(conn) else ""
    return ok(question, f"{count} on {table}{where}.")
