"""A tab of a browser as far as its socket: what the app sends to it, byte by byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin, Subprotocol

PATIENCE_S = 240
_MEDIA = re.compile(rb"/media/[\w.-]+")


class Tab:
    """One session of Streamlit's. ``received`` is all that came since the last page was opened."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._session = ""
        self._page = ""
        self._query = ""
        self.received = b""
        self.fragments: set[str] = set()
        self.downloads: set[str] = set()

    async def open(self, page: str, query: str) -> bytes:
        """Go to a page, as the navigation or an address does; all that it sends until its run is over."""
        self.received, self.fragments, self.downloads, self._query = b"", set(), set(), query
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        await self._ask(message)
        return self.received

    async def tick(self, fragment: str) -> bytes:
        """Let a live part of the page look again."""
        before = len(self.received)
        message = BackMsg()
        message.rerun_script.page_script_hash = self._page
        message.rerun_script.query_string = self._query
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = True
        await self._ask(message)
        return self.received[before:]

    async def make_download(self, file: str) -> str:
        """Click a download button; the address of the file that was made, or '' if that was refused."""
        message = BackMsg()
        message.backend_operation_request.request_id = str(uuid4())
        message.backend_operation_request.session_id = self._session
        message.backend_operation_request.deferred_file.file_id = file
        await self._socket.send(message.SerializeToString())
        async with asyncio.timeout(PATIENCE_S):
            async for data in self._socket:
                answer = self._take(data)
                if answer.WhichOneof("type") == "backend_operation_response":
                    return answer.backend_operation_response.deferred_file.url
        raise AssertionError("the socket was closed")

    @property
    def media(self) -> set[str]:
        """Addresses of files that the page names."""
        return {found.decode() for found in _MEDIA.findall(self.received)}

    async def _ask(self, message: BackMsg) -> None:
        await self._socket.send(message.SerializeToString())
        async with asyncio.timeout(PATIENCE_S):
            async for data in self._socket:
                answer = self._take(data)
                kind = answer.WhichOneof("type")
                if kind == "script_finished" and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    return
        raise AssertionError("the socket was closed")

    def _take(self, data: Any) -> ForwardMsg:
        self.received += data
        message = ForwardMsg()
        message.ParseFromString(data)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._page = message.new_session.page_script_hash
            self._session = message.new_session.initialize.session_id or self._session
        elif kind == "auto_rerun":
            self.fragments.add(message.auto_rerun.fragment_id)
        elif kind == "delta" and message.delta.new_element.HasField("download_button"):
            self.downloads.add(message.delta.new_element.download_button.deferred_file_id)
        return message


SomeTab = TypeVar("SomeTab", bound=Tab)


@asynccontextmanager
async def open_tab(host: str, cookie: str) -> AsyncIterator[Tab]:
    """A tab of the app at ``host``, let in by that session cookie."""
    async with open_tab_as(Tab, host, cookie) as tab:
        yield tab


@asynccontextmanager
async def open_tab_as(kind: type[SomeTab], host: str, cookie: str) -> AsyncIterator[SomeTab]:
    """As :func:`open_tab`, for somebody who does more than look."""
    async with websockets.connect(
        f"ws://{host}/_stcore/stream",
        subprotocols=[Subprotocol("streamlit")],
        origin=Origin(f"http://{host}"),
        additional_headers={"Cookie": f"corpuscope_session={cookie}"},
        max_size=None,
        open_timeout=PATIENCE_S,
        ping_timeout=None,
    ) as socket:
        yield kind(socket)
