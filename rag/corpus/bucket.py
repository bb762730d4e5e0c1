"""A private bucket of Supabase Storage: files go in and come out in pieces, whatever their size.

What storage3 does with whole files in memory, this does over Storage's own HTTP: one request for a small file, the
resumable protocol TUS 1.0.0 for a larger one, ranges for reading on where a connection broke. Only the server's key is
used, never a person's token: who may read is decided before, by the database.
"""

from __future__ import annotations

import json
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2

from rag.errors import OriginalLost, StorageBusy, StorageError
from rag.settings import Settings

log = logging.getLogger(__name__)

#: Storage takes resumable uploads in pieces of exactly this size, but for the last.
PIECE_BYTES = 6 * 2**20
_READ_BYTES = 2**18
#: Tries in a row that bring nothing before a request is given up on, and the pause before the second.
_TRIES = 5
_FIRST_PAUSE_S = 0.5
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_TUS = {"Tus-Resumable": "1.0.0"}
_BUSY = frozenset({408, 423, 425, 429})
#: Every try has a name of its own, so what is there under it came from a request whose answer was lost.
_AGAIN = {"x-upsert": "true"}


@dataclass(frozen=True, slots=True)
class BucketState:
    """What the project says of the bucket; ``largest`` is the bytes that a file may have, None without a limit."""

    public: bool
    largest: int | None


class Bucket:
    """Files by ``object``, which is "bucket/name", so that one of another bucket is found too. Threads may share it.

    Raises :class:`StorageBusy` when trying later may help, :class:`OriginalLost` for a file that isn't there or isn't
    whole, and :class:`StorageError` for the rest.
    """

    def __init__(
        self,
        url: str,
        key: str,
        name: str,
        *,
        timeout: httpx2.Timeout = _TIMEOUT,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._root = f"{url.rstrip('/')}/storage/v1"
        self._pause = pause
        self._client = httpx2.Client(
            headers={"apikey": key, "Authorization": f"Bearer {key}"}, timeout=timeout, follow_redirects=False
        )

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def look(self) -> BucketState | None:
        """How the bucket is set up; None when the project has none of that name."""
        try:
            found = _read_json(self._ask("GET", f"/bucket/{self.name}"))
        except OriginalLost:
            return None
        return BucketState(bool(found.get("public")), found.get("file_size_limit"))

    def ensure(self) -> None:
        """Make the bucket, private, if it is missing; refuse one that everybody may read."""
        state = self.look()
        if state is None:
            try:
                self._ask("POST", "/bucket", json={"id": self.name, "name": self.name, "public": False})
            except StorageError:
                if self.look() is None:  # and not made by another process meanwhile
                    raise
        elif state.public:
            raise StorageError(
                f"The bucket “{self.name}” is public: everybody with an address could read its files.",
                hint="Make it private in the project's dashboard, or name another one in SUPABASE_BUCKET.",
            )

    def upload(self, object: str, size: int, pieces: Iterable[bytes]) -> None:
        """Store ``size`` bytes; no more than one piece of 6 MB is held in memory."""
        try:
            if size > PIECE_BYTES:
                self._upload_in_rows(object, size, pieces)
            else:
                content = b"".join(pieces)
                self._ask("POST", _path(object), content=content, headers={"Content-Type": _TYPE, **_AGAIN})
        except _NotThere as error:
            raise StorageError(
                f"The project has no bucket “{object.partition('/')[0]}”, or lost the upload."
            ) from error

    def _upload_in_rows(self, object: str, size: int, pieces: Iterable[bytes]) -> None:
        address, sent = self._begin(object, size), 0
        for row in _in_rows(pieces, PIECE_BYTES):
            self._send(address, sent, row)
            sent += len(row)

    def read(self, object: str, size: int, start: int = 0) -> Iterator[bytes]:
        """The bytes from ``start`` on, in pieces of at most 256 KB; goes on where a connection broke."""
        failures = 0
        while start < size:
            before = start
            try:
                with self._open(object, start) as response:
                    for piece in _skipped(response, start):
                        start += len(piece)
                        if start > size:
                            raise OriginalLost("The file in the bucket is larger than what was put there.")
                        yield piece
                    if start < size:
                        raise OriginalLost("The file in the bucket is shorter than what was put there.")
            except (httpx2.TransportError, StorageBusy) as error:
                failures = 0 if start > before else failures + 1
                self._wait(failures, error)

    def remove(self, objects: Sequence[str]) -> None:
        """Remove files; those that aren't there any more are no error."""
        buckets: dict[str, list[str]] = {}
        for object in objects:
            bucket, _, name = object.partition("/")
            buckets.setdefault(bucket, []).append(name)
        for bucket, names in buckets.items():
            try:
                self._ask("DELETE", f"/object/{bucket}", json={"prefixes": names})
            except OriginalLost as error:  # the bucket itself is gone, and they with it
                log.info("%s", error)

    def _open(self, object: str, start: int) -> Any:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        return _Checked(self._client.stream("GET", self._root + _path(object, "authenticated/"), headers=headers))

    def _begin(self, object: str, size: int) -> str:
        """The address of a new resumable upload. Of the answer only the path counts: the key goes nowhere else."""
        bucket, _, name = object.partition("/")
        said = {"bucketName": bucket, "objectName": name, "contentType": _TYPE, "cacheControl": "no-store"}
        metadata = ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in said.items())
        headers = {**_TUS, **_AGAIN, "Upload-Length": str(size), "Upload-Metadata": metadata}
        made = self._ask("POST", "/upload/resumable", headers=headers)
        place = urlsplit(made.headers.get("location", ""))
        if not place.path:
            raise StorageError("The bucket does not say where the upload goes on.")
        return place.path + (f"?{place.query}" if place.query else "")

    def _send(self, address: str, offset: int, row: bytes) -> None:
        """One piece of an upload: after a failure, what the server still lacks of it."""
        end, failures = offset + len(row), 0
        start = offset
        while start < end:
            before = start
            try:
                headers = {**_TUS, "Upload-Offset": str(start), "Content-Type": "application/offset+octet-stream"}
                self._once("PATCH", self._absolute(address), content=row[start - offset :], headers=headers)
                start = end
            except (httpx2.TransportError, StorageBusy) as error:
                failures += 1
                self._wait(failures, error)
                start = self._offset(address, before)
                failures = 0 if start > before else failures
            if not offset <= start <= end:
                raise StorageBusy("The bucket has lost what was sent to it.")

    def _offset(self, address: str, known: int) -> int:
        """How much of an upload has arrived; ``known`` where the server can't say just now."""
        try:
            told = self._once("HEAD", self._absolute(address), headers=_TUS)
            return int(told.headers["upload-offset"])
        except (httpx2.TransportError, StorageBusy):
            return known
        except (KeyError, ValueError) as error:
            raise StorageError("The bucket does not say how much has arrived.") from error

    def _absolute(self, address: str) -> str:
        root = urlsplit(self._root)
        return f"{root.scheme}://{root.netloc}{address}"

    def _ask(self, method: str, path: str, **how: Any) -> httpx2.Response:
        """A request that may be made again."""
        failures = 0
        while True:
            try:
                return self._once(method, self._root + path, **how)
            except (httpx2.TransportError, StorageBusy) as error:
                failures += 1
                self._wait(failures, error)

    def _once(self, method: str, url: str, **how: Any) -> httpx2.Response:
        response = self._client.request(method, url, **how)
        _refuse(response)
        return response

    def _wait(self, failures: int, error: Exception) -> None:
        """Before the next try; raises once there were too many."""
        if failures >= _TRIES:
            if isinstance(error, StorageBusy):
                raise error
            raise StorageBusy(f"The bucket of originals can't be reached: {type(error).__name__}.") from error
        self._pause(_FIRST_PAUSE_S * 2 ** max(0, failures - 1))


#: Whatever it is, a browser that is led to it shall not run it.
_TYPE = "application/octet-stream"


class _NotThere(OriginalLost):
    """The original of this document is not where it was put."""


class _Checked:
    """A streamed response that is not a refusal."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __enter__(self) -> httpx2.Response:
        response: httpx2.Response = self._stream.__enter__()
        try:
            if response.status_code >= 300:
                response.read()
            _refuse(response)
        except BaseException as error:
            self._stream.__exit__(type(error), error, error.__traceback__)
            raise
        return response

    def __exit__(self, *error: Any) -> Any:
        return self._stream.__exit__(*error)


def _path(object: str, way: str = "") -> str:
    return f"/object/{way}{quote(object)}"


def _skipped(response: httpx2.Response, start: int) -> Iterator[bytes]:
    """The body from ``start`` on, also of a server that gives everything where a part was asked for."""
    skip = start if response.status_code == 200 else 0
    for piece in response.iter_bytes(_READ_BYTES):
        if rest := piece[skip:]:
            yield rest
        skip = max(0, skip - len(piece))


def _in_rows(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in rows of ``size``, the last of them shorter."""
    held = bytearray()
    for piece in pieces:
        held += piece
        while len(held) >= size:
            row = bytes(held[:size])
            del held[:size]
            yield row
    if held:
        yield bytes(held)


def _read_json(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError as error:
        raise StorageError("The bucket's answer can't be read.") from error
    return found if isinstance(found, dict) else {}


def _refuse(response: httpx2.Response) -> None:
    """Raise what a refusal means. Storage says 400 of some things, and what it means in the answer."""
    status = response.status_code
    if status < 300:
        return
    try:
        told = json.loads(response.content)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    said = str(told.get("message") or told.get("error") or "")[:200]
    inner = str(told.get("statusCode", ""))
    status = int(inner) if inner.isdecimal() and status == 400 else status
    if status in (404, 410, 416):
        raise _NotThere
    # Within an upload, 409 says that it has come less or more far than we think.
    if status in _BUSY or status >= 500 or (status == 409 and "tus-resumable" in response.request.headers):
        raise StorageBusy(f"The bucket of originals is busy (status {status}).")
    if status in (401, 403):
        raise StorageError(
            f"The project refuses the key to its bucket of originals (status {status}).",
            hint="SUPABASE_SECRET_KEY must be the project's secret key, or the older service_role key.",
        )
    if status == 413:
        raise StorageError(
            "The project's Storage accepts no file of this size.",
            hint="Raise its limit in the project's Storage settings; until then this original stays in the database.",
        )
    raise StorageError(f"The bucket of originals refused this (status {status}): {said}".rstrip(": "))


def open_bucket(settings: Settings) -> Bucket | None:
    """The bucket that the settings name; None where the project's address or its secret key is missing."""
    key = settings.supabase_secret_key.get_secret_value()
    return Bucket(settings.supabase_url, key, settings.supabase_bucket) if settings.supabase_url and key else None
