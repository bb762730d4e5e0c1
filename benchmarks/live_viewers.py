"""Viewers of a conversation as browsers are: Streamlit's socket for the page, ours for hints, and when words came."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

#: The pieces that the stand-in model streams are numbered: ``w17``.
WORD = re.compile(r"\bw(\d+)\b")


@dataclass
class Viewer:
    """One page that shows a conversation. ``seen``: when a word first arrived, in seconds since the epoch."""

    address: str
    collection: UUID
    chat: UUID
    seen: dict[int, float] = field(default_factory=dict)
    hints: int = 0
    text: str = ""
    _page: str = ""
    _fragment: str = ""
    _socket: Any = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether the page shows the conversation and listens."""
        return bool(self._fragment)

    async def open(self) -> None:
        """Load the page, and open its second socket once it says how."""
        url = f"ws://{self.address}/_stcore/stream"
        self._socket = await websockets.connect(url, subprotocols=["streamlit"], max_size=None)  # type: ignore[list-item]
        self._tasks.append(asyncio.create_task(self._read_page()))
        while not self.is_ready:
            await self._run()  # once more while the app still opens its database
            for _ in range(100):
                await asyncio.sleep(0.0 if self.is_ready else 0.05)
        self._tasks.append(asyncio.create_task(self._read_hints()))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._socket.close()

    async def _run(self, fragment: str = "") -> None:
        message = BackMsg()
        if fragment:
            message.rerun_script.page_script_hash = self._page
        else:
            message.rerun_script.page_name = "chat"
        message.rerun_script.query_string = f"collection={self.collection}&chat={self.chat}"
        message.rerun_script.fragment_id = fragment
        await self._socket.send(message.SerializeToString())

    async def _read_page(self) -> None:
        async for data in self._socket:
            at = time.time()
            message = ForwardMsg()
            message.ParseFromString(data)
            if message.HasField("navigation"):
                self._page = message.navigation.page_script_hash
            elif message.HasField("delta"):
                self._note(message.delta, at)

    def _note(self, delta: Any, at: float) -> None:
        element = delta.new_element
        if element.HasField("bidi_component") and element.bidi_component.component_name == "corpuscope.live":
            self._fragment = delta.fragment_id
        elif element.HasField("markdown") and (words := WORD.findall(element.markdown.body)):
            self.text = element.markdown.body
            for word in range(int(words[-1]), -1, -1):
                if word in self.seen:
                    break
                self.seen[word] = at

    async def _read_hints(self) -> None:
        url = f"ws://{self.address}/api/live?topics=chat:{self.chat},presence:{self.chat}"
        origin = f"http://{self.address}"
        with contextlib.suppress(websockets.ConnectionClosed):
            async with websockets.connect(url, origin=origin) as socket:  # type: ignore[arg-type]
                async for _ in socket:
                    self.hints += 1
                    await self._run(self._fragment)


@contextlib.asynccontextmanager
async def watching(address: str, collection: UUID, chats: list[UUID]) -> Any:
    """A viewer for each of ``chats``, all with their pages drawn."""
    viewers = [Viewer(address, collection, chat) for chat in chats]
    try:
        await asyncio.wait_for(asyncio.gather(*(viewer.open() for viewer in viewers)), 90)
        await asyncio.sleep(3)
        yield viewers
    finally:
        await asyncio.gather(*(viewer.close() for viewer in viewers if viewer._socket), return_exceptions=True)
