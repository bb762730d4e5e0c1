"""A tab with hands: it uploads files and types questions, by the messages that a browser would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.integration.tabs import PATIENCE_S, Tab, open_tab_as

_XSRF = "_streamlit_xsrf"


class Hands(Tab):
    """The tab, with the widgets of its page by their labels."""

    def __init__(self, socket: Any) -> None:
        super().__init__(socket)
        self.widgets: dict[str, str] = {}
        #: The browser's requests beside the socket.
        self.line: httpx.AsyncClient

    async def upload(self, files: Mapping[str, bytes]) -> bytes:
        """Choose the files, press the button; what the page said of it. Raises where the app is away."""
        urls = await self._ask_for_places(list(files))
        message = self._begin()
        chosen = message.rerun_script.widget_states.widgets.add()
        chosen.id = self.widgets["Choose files, or drop them here"]
        for (name, data), place in zip(files.items(), urls, strict=True):
            await self._put(place.upload_url, name, data)
            info = chosen.file_uploader_state_value.uploaded_file_info.add()
            info.name, info.size, info.file_id = name, len(data), place.file_id
            info.file_urls.CopyFrom(place)
        self._press(message, "Upload files")
        return await self._act(message)

    async def ask(self, question: str) -> bytes:
        """Type a question and send it; what came until the run ended."""
        message = self._begin()
        typed = message.rerun_script.widget_states.widgets.add()
        typed.id = self.widgets["chat"]
        typed.chat_input_value.data = question
        return await self._act(message)

    def _begin(self) -> BackMsg:
        message = BackMsg()
        message.rerun_script.page_script_hash = self._page
        message.rerun_script.query_string = self._query
        return message

    def _press(self, message: BackMsg, label: str) -> None:
        button = message.rerun_script.widget_states.widgets.add()
        button.id, button.trigger_value = self.widgets[label], True

    async def _act(self, message: BackMsg) -> bytes:
        before = len(self.received)
        await self._ask(message)
        return self.received[before:]

    async def _ask_for_places(self, names: list[str]) -> list[Any]:
        message = BackMsg()
        message.file_urls_request.request_id = str(uuid4())
        message.file_urls_request.file_names.extend(names)
        message.file_urls_request.session_id = self._session
        await self._socket.send(message.SerializeToString())
        async with asyncio.timeout(PATIENCE_S):
            async for data in self._socket:
                answer = self._take(data)
                if answer.WhichOneof("type") == "file_urls_response":
                    return list(answer.file_urls_response.file_urls)
        raise ConnectionError("the socket was closed")

    async def _put(self, url: str, name: str, data: bytes) -> None:
        token = self.line.cookies.get(_XSRF) or ""
        answer = await self.line.put(url, files={"file": (name, data)}, headers={"X-Xsrftoken": token})
        answer.raise_for_status()

    def _take(self, data: Any) -> ForwardMsg:
        message = super()._take(data)
        kind = message.WhichOneof("type")
        if kind == "navigation":
            # The page itself: what widgets hold on another one is dropped.
            self._page = message.navigation.page_script_hash
        elif kind == "delta":
            element = message.delta.new_element
            if element.HasField("file_uploader"):
                self.widgets[element.file_uploader.label] = element.file_uploader.id
            elif element.HasField("button"):
                self.widgets[element.button.label] = element.button.id
            elif element.HasField("chat_input"):
                self.widgets["chat"] = element.chat_input.id
        return message


@asynccontextmanager
async def open_hands(host: str, cookie: str) -> AsyncIterator[Hands]:
    """A tab of the app at ``host``, let in by that session cookie, that can act."""
    base, cookies = f"http://{host}", {"corpuscope_session": cookie}
    headers = {"Origin": base, "Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(base_url=base, cookies=cookies, headers=headers, timeout=60, trust_env=False) as line:
        (await line.get("/_stcore/health")).raise_for_status()
        # A proxy's cookie says where this person is to stay.
        others = [f"{name}={value}" for name, value in line.cookies.items() if name not in cookies]
        async with open_tab_as(Hands, host, "; ".join([cookie, *others])) as tab:
            tab.line = line
            yield tab
