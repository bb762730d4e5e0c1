"""The embedded server's settings and what is said of its failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.store.datafolder import explain, server_settings


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('FATAL:  could not write to file "pg_wal/xlogtemp.1": No space left on device', "The disk is full."),
        ('FATAL:  data directory "/x" has wrong ownership', "belongs to another user"),
        ('FATAL:  lock file "postmaster.pid" already exists', "Another server"),
        ("PANIC:  could not locate a valid checkpoint record", "damaged"),
        ("LOG:  starting\nFATAL:  configuration file contains errors\nLOG:  bye", "contains errors"),
        ("something odd\n", "something odd"),
        ("", "nothing"),
    ],
)
def test_a_failure_is_explained(said: str, words: str) -> None:
    assert words in explain(said)


def test_the_server_is_reached_by_its_socket_only() -> None:
    settings = server_settings(Path("/private"))
    assert settings["listen_addresses"] == ""
    assert settings["unix_socket_directories"] == Path("/private")
    assert settings["unix_socket_permissions"] == "0700"


def test_memory_stays_within_what_an_app_beside_it_leaves() -> None:
    settings = server_settings(Path("/private"))
    assert 128 <= int(str(settings["shared_buffers"]).removesuffix("MB")) <= 2048
    assert 64 <= int(str(settings["maintenance_work_mem"]).removesuffix("MB")) <= 1024
