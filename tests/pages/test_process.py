"""What the app's process sets for itself: small messages go out at once, and modules are no longer collected."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator

import pytest
from streamlit.runtime.media_file_manager import MediaFileManager, MediaFileMetadata
from streamlit.runtime.media_file_storage import MediaFileKind
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from pages.parts.process import MARK_AT_ONCE, keep_downloads, send_at_once, spare_what_stays


def sends_at_once(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Made as Streamlit makes its own: without naming TCP, so that asyncio leaves the option alone."""
    with socket.socket(family=socket.AF_INET) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def test_connections_of_the_server_send_at_once_also_later_ones(server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()), server.accept()[0] as early:
        assert not sends_at_once(early)
        assert send_at_once() >= 2
        assert sends_at_once(early)
        with socket.create_connection(server.getsockname()), server.accept()[0] as late:
            assert sends_at_once(late)


def test_a_server_that_is_gone_is_no_matter(server: socket.socket) -> None:
    server.close()
    send_at_once()


@pytest.fixture
def own_collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("own_collector")
def test_what_is_there_is_spared_and_new_garbage_still_goes() -> None:
    gc.unfreeze()
    spare_what_stays()
    assert gc.get_freeze_count() > 10_000
    assert gc.isenabled()
    ring: list[object] = []
    ring.append(ring)
    del ring
    assert gc.collect() >= 1


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Streamlit's own way of forgetting files, whatever ran in this process before; and what there was, afterwards."""
    before = MediaFileMetadata.mark_for_delete
    MediaFileMetadata.mark_for_delete = MARK_AT_ONCE  # type: ignore[method-assign]
    yield
    MediaFileMetadata.mark_for_delete = before  # type: ignore[method-assign]


@pytest.mark.usefixtures("forgetful")
def test_a_file_made_at_a_click_stays_while_others_runs_end() -> None:
    files = MediaFileManager(MemoryMediaFileStorage("/media"))
    now = [0.0]

    def made_and_still_there_after(runs: int, pause_s: float) -> bool:
        with files._lock:
            file_id = files._storage.load_and_get_id(b"a,b", "text/csv", MediaFileKind.DOWNLOADABLE, f"{runs}.csv")
            files._file_metadata[file_id] = MediaFileMetadata(kind=MediaFileKind.DOWNLOADABLE)
        for _ in range(runs):
            files.remove_orphaned_files()
            now[0] += pause_s
        return files.read_file(f"{file_id}.csv") is not None

    assert not made_and_still_there_after(2, 0.01), "Streamlit keeps files by itself: keep_downloads() can go"
    keep_downloads(60, lambda: now[0])
    assert made_and_still_there_after(100, 0.1)
    assert not made_and_still_there_after(100, 1.0)
