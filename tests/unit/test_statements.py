"""The splitter: semicolons inside anything quoted, nested or commented end no statement."""

from __future__ import annotations

import pytest

from rag.store.statements import split_statements


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (" ;; \n; ", []),
        ("select 1", ["select 1"]),
        ("select 1;\n\nselect 2;\n", ["select 1", "select 2"]),
        ("select ';'; select 2", ["select ';'", "select 2"]),
        ("select 'it''s; so'; select 2", ["select 'it''s; so'", "select 2"]),
        (r"select e'it\'s; so'; select 2", [r"select e'it\'s; so'", "select 2"]),
        (r"select 'back\'; select 2", [r"select 'back\'", "select 2"]),
        ('select 1 as "a;""b"; select 2', ['select 1 as "a;""b"', "select 2"]),
        ("-- first; really\nselect 1; select 2", ["-- first; really\nselect 1", "select 2"]),
        ("select 1 -- it's\n; select 2", ["select 1 -- it's", "select 2"]),
        ("select /* a; /* b; */ c; */ 1; select 2", ["select /* a; /* b; */ c; */ 1", "select 2"]),
        ("select 4/2; select 1-1; select 2", ["select 4/2", "select 1-1", "select 2"]),
        ("do $$ begin; end $$; select 2", ["do $$ begin; end $$", "select 2"]),
        ("do $a$ x; $$ y; $$ $b$ $a$; select 2", ["do $a$ x; $$ y; $$ $b$ $a$", "select 2"]),
        ("do $é_1$;$é_1$; select 2", ["do $é_1$;$é_1$", "select 2"]),
        ("select a$b$c; select $1$; select 2", ["select a$b$c", "select $1$", "select 2"]),
        ("create rule r as on insert to t do (a; b); x", ["create rule r as on insert to t do (a; b)", "x"]),
        (
            "create function f() begin\n atomic; select case when true then 1 end; select 2; end; select 3",
            ["create function f() begin\n atomic; select case when true then 1 end; select 2; end", "select 3"],
        ),
        ("begin; select 1; end; select 2", ["begin", "select 1", "end", "select 2"]),
        ("select 'open; select 2", ["select 'open; select 2"]),
        ("select $$open; select 2", ["select $$open; select 2"]),
        ("select /* open; select 2", ["select /* open; select 2"]),
        ("select 1;\n-- the end\n", ["select 1", "-- the end"]),
        ("select 'Привет; мир'; select '日本;語'", ["select 'Привет; мир'", "select '日本;語'"]),
    ],
)
def test_split(script: str, expected: list[str]) -> None:
    assert split_statements(script) == expected


def test_nothing_but_white_space_and_semicolons_is_lost() -> None:
    script = "create table a (x text default ';');\r\n\r\n/* ; */ insert into a values ($q$;$q$);\n-- done"
    position = 0
    for statement in split_statements(script):
        begin = script.index(statement, position)
        assert not script[position:begin].strip(" \r\n;")
        position = begin + len(statement)
    assert not script[position:].strip(" \r\n;")


def test_a_long_script_is_split_quickly_enough_to_finish() -> None:
    script = "insert into t values ('" + "x''" * 200_000 + "');" + "select 1;" * 10_000
    assert len(split_statements(script)) == 10_001
