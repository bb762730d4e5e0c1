"""A stub of Supabase Storage: the few requests that Corpuscope makes of it, on files of a folder, with faults.

It is no Storage: it knows one key, signs nothing, and what people may read is not asked here (the policies on
storage.objects are tested on the database itself). What it imitates, it does as the real one's documentation and
client say: refusals as status 400 with the meaning in the body, TUS 1.0.0 in pieces of 6 MB, ranges.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit
from uuid import uuid4

PIECE = 6 * 2**20
KEY = "the-stub-knows-this-key"
Kind = Literal["500", "429", "404", "413", "401", "cut", "slow", "short", "long", "other", "unanswered"]


@dataclass
class Fault:
    """What goes wrong with the next request of this method whose path contains ``where``; ``after`` that many bytes."""

    method: str
    kind: Kind
    where: str = ""
    after: int = 0
    times: int = 1


@dataclass
class StorageStub:
    """The buckets (name → settings), and every request that came."""

    folder: Path
    url: str = ""
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    uploads: dict[str, tuple[str, int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self, object: str) -> Path:
        return self.folder / object.replace("/", "+")

    def objects(self) -> list[str]:
        """What lies in all buckets, as bucket/name."""
        return sorted(path.name.replace("+", "/") for path in self.folder.iterdir() if "+" in path.name)

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and fault.where in path and fault.times:
                    fault.times -= 1
                    return fault
        return None

    def count(self, method: str, part: str = "") -> int:
        return sum(1 for one, path in self.seen if one == method and part in path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer waits 40 ms for the client's receipt of its first line
    stub: StorageStub

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/storage/v1")
        self.stub.seen.append((self.command, path))
        self._fault = fault = self.stub.fault(self.command, path)
        self._left = int(self.headers.get("content-length", 0))
        if fault is not None and fault.kind == "slow":
            time.sleep(fault.after)
        if fault is not None and fault.kind in ("500", "429", "413", "401", "404"):
            self._drain()
            self._refuse(int(fault.kind), "said to fail")
        elif self.headers.get("apikey") != KEY or self.headers.get("authorization") != f"Bearer {KEY}":
            self._drain()
            self._refuse(403, "Invalid key", status=400)
        else:
            self._route(path)

    def _route(self, path: str) -> None:
        parts = path.strip("/").split("/")
        match self.command, parts:
            case "GET", ["bucket", name]:
                if name in self.stub.buckets:
                    self._say(200, self.stub.buckets[name])
                else:
                    self._refuse(404, "Bucket not found", status=400)
            case "POST", ["bucket"]:
                said = json.loads(self._body())
                self.stub.buckets[said["id"]] = said | {"file_size_limit": None}
                self._say(200, {"name": said["id"]})
            case "POST", ["upload", "resumable"]:
                self._begin()
            case (("HEAD" | "PATCH"), ["upload", "resumable", upload]):
                self._go_on(upload)
            case "POST", ["object", bucket, *name]:
                self._store(bucket, "/".join([bucket, *name]))
            case "GET", ["object", "authenticated", *name]:
                self._give("/".join(name))
            case "DELETE", ["object", bucket]:
                self._remove(bucket)
            case _:
                self._drain()
                self._refuse(404, "no such route")

    def _store(self, bucket: str, object: str) -> None:
        if bucket not in self.stub.buckets:
            self._drain()
            self._refuse(404, "Bucket not found", status=400)
            return
        with tempfile.NamedTemporaryFile(dir=self.stub.folder, delete=False) as file:
            self._copy(file, self._left)
        shutil.move(file.name, self.stub.place(object))
        self._end(200, {"Key": object})

    def _begin(self) -> None:
        said = dict(pair.split(" ") for pair in self.headers["upload-metadata"].split(","))
        bucket, name = (base64.b64decode(said[key]).decode() for key in ("bucketName", "objectName"))
        if bucket not in self.stub.buckets:
            self._refuse(404, "Bucket not found", status=400)
            return
        upload = uuid4().hex
        self.stub.uploads[upload] = f"{bucket}/{name}", int(self.headers["upload-length"])
        (self.stub.folder / upload).touch()
        # Behind a proxy the real one names another host: whoever follows it gives the key away.
        self._end(201, None, {"Location": f"http://elsewhere.invalid/storage/v1/upload/resumable/{upload}"})

    def _go_on(self, upload: str) -> None:
        if upload not in self.stub.uploads:
            self._drain()
            self._refuse(404, "no such upload")
            return
        object, size = self.stub.uploads[upload]
        file = self.stub.folder / upload
        if self.command == "PATCH":
            offset = int(self.headers["upload-offset"])
            if offset != file.stat().st_size:
                self._drain()
                self._refuse(409, "the offset is another")
                return
            assert self._left <= PIECE
            assert self._left == PIECE or offset % PIECE or offset + self._left == size
            with file.open("ab") as end:
                self._copy(end, self._left)
            if file.stat().st_size == size:
                shutil.copy(file, self.stub.place(object))
        self._end(204 if self.command == "PATCH" else 200, None, {"Upload-Offset": str(file.stat().st_size)})

    def _copy(self, file: Any, size: int) -> None:
        fault = self._fault
        most = fault.after if fault is not None and fault.kind == "cut" else size
        while most > 0 and (piece := self.rfile.read(min(2**16, most))):
            file.write(piece)
            most -= len(piece)
            self._left -= len(piece)
        file.flush()
        if fault is not None and fault.kind == "cut":
            self._hang_up()

    def _give(self, object: str) -> None:
        place = self.stub.place(object)
        if not place.exists():
            self._refuse(404, "Object not found", status=400)
            return
        fault, size = self._fault, place.stat().st_size
        start = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        whole = fault is not None and fault.kind == "other"
        start = 0 if whole else start
        told = {"short": size - start - 1, "long": size - start + 1}.get(fault.kind if fault else "", size - start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(told))
        self.end_headers()
        with place.open("rb") as file:
            file.seek(start)
            left = fault.after if fault is not None and fault.kind == "cut" else told
            while left > 0:
                piece = file.read(min(2**16, left)) or b"x"
                self.wfile.write(piece)
                left -= len(piece)
        if fault is not None and fault.kind == "cut":
            self._hang_up()

    def _remove(self, bucket: str) -> None:
        gone = [f"{bucket}/{name}" for name in json.loads(self._body())["prefixes"]]
        found = [name for name in gone if self.stub.place(name).exists()]
        for name in found:
            self.stub.place(name).unlink()
        self._end(200, [{"name": name} for name in found])

    def _body(self) -> bytes:
        body, self._left = self.rfile.read(self._left), 0
        return body

    def _drain(self) -> None:
        while self._left > 0 and (piece := self.rfile.read(min(2**16, self._left))):
            self._left -= len(piece)

    def _end(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """The answer; or none, though all was done."""
        if self._fault is not None and self._fault.kind == "unanswered":
            self._hang_up()
            return
        if self._fault is None or self._fault.kind != "cut":
            self._say(status, value, headers)

    def _say(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, meaning: int, why: str, *, status: int | None = None) -> None:
        self._say(status or meaning, {"statusCode": str(meaning), "error": why, "message": why})

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def storage_stub() -> Iterator[StorageStub]:
    """A running stub for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        stub = StorageStub(Path(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": stub}))
        server.daemon_threads = True
        stub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


if __name__ == "__main__":  # in a process of its own, so that its memory is not counted as ours
    with storage_stub() as running:
        print(running.url, flush=True)
        sys.stdin.read()
