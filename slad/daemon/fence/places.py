"""Where a lease is kept: one small document that is only replaced by who knows which version is there.

Three places: a file on shared storage, an object in an S3-compatible store, a command.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar, TypeVarTuple, cast
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:  # an extra, loaded by those who use it
    from obstore.store import S3Config, S3Store

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

SHARED_MODE: Final = 0o660
"""The group of the folder may use what is in it."""

LOCK_S: Final = 2.0
"""How long another's change of the file may take."""


class Unreachable(Exception):  # noqa: N818 - what is the case, not what it is
    """The place does not answer, or refuses; it is not known what became of a change."""


class Changed(Exception):  # noqa: N818 - what is the case, not what it is
    """Another version is there than the one that was to be replaced; nothing was written."""


class Seen(NamedTuple):
    """The document as it is now."""

    content: bytes
    version: str
    modified_at: int | None = None
    """When it was written, by the place's own clock, UTC epoch ms; None: the place has none."""


class Place(Protocol):
    """Where the document is. Raises Unreachable."""

    async def read(self) -> Seen | None:
        """The document, if there is one."""
        ...

    async def write(self, content: bytes, version: str | None) -> str:
        """Replaces `version` (None: nothing is there yet); the new version. Raises Changed."""
        ...

    async def now(self) -> int | None:
        """The time by the place's own clock, UTC epoch ms; None: it has none."""
        ...


def place_at(where: str) -> Place:
    """The place that the setting `fence.at` names. Raises Unreachable when what it needs is not installed."""
    if where.startswith("s3://"):
        return ObjectPlace(where)
    if where.startswith("exec:"):
        return CommandPlace(Path(where.removeprefix("exec:")))
    return FilePlace(Path(where))


class FilePlace:
    """A file on storage that the machines share, whose locks reach across them, such as NFS 4."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> Seen | None:
        """See `Place`."""
        return await _beside(self._read)

    async def write(self, content: bytes, version: str | None) -> str:
        """See `Place`."""
        return await _beside(self._write, content, version)

    async def now(self) -> int | None:
        """The time that the file server gives to a file that is written now."""
        return await _beside(self._now)

    def _read(self) -> Seen | None:
        try:
            # A replaced file is another one, so that the content and the time are of the same.
            with self._path.open("rb") as file:
                content, modified_ns = file.read(), os.fstat(file.fileno()).st_mtime_ns
        except FileNotFoundError:
            return None
        return Seen(content, _digest(content), modified_ns // 1_000_000)

    def _write(self, content: bytes, version: str | None) -> str:
        with self._locked():
            seen = self._read()
            if (seen and seen.version) != version:
                raise Changed
            with self._temporary() as (path, file):
                os.write(file, content)
                os.fsync(file)
                path.replace(self._path)
        return _digest(content)

    def _now(self) -> int:
        with self._temporary() as (_, file):
            os.write(file, b"now")
            os.fsync(file)
            return os.fstat(file).st_mtime_ns // 1_000_000

    @contextmanager
    def _temporary(self) -> Iterator[tuple[Path, int]]:
        file, path = mkstemp(prefix=f"{self._path.name}.", dir=self._path.parent)
        try:
            self._share(file)
            yield Path(path), file
        finally:
            os.close(file)
            Path(path).unlink(missing_ok=True)

    def _share(self, file: int) -> None:
        """Lets all users of the folder use a file: on other machines, and slad after root adopted."""
        os.fchmod(file, SHARED_MODE)
        if os.geteuid() == 0:
            folder = self._path.parent.stat()
            os.fchown(file, folder.st_uid, folder.st_gid)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(
            self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            if os.fstat(lock).st_uid == os.geteuid():
                self._share(lock)
            until = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.01)
            yield
        finally:
            os.close(lock)


class ObjectPlace:
    """An object in S3 or a store that speaks its language: `s3://BUCKET/KEY?endpoint=URL&region=NAME`.

    Credentials and whatever the URL does not say come from the AWS_… variables, or from the machine's role.
    """

    def __init__(self, url: str) -> None:
        try:
            from obstore import exceptions  # noqa: PLC0415 - an extra
            from obstore.store import S3Store  # noqa: PLC0415
        except ImportError:
            raise Unreachable("S3 needs obstore: pip install 'slad[s3]'") from None
        self._errors = exceptions
        place = urlsplit(url)
        self._key = place.path.strip("/")
        self._store: S3Store = S3Store(
            place.netloc,
            config=cast("S3Config", dict(parse_qsl(place.query))),
            client_options={"connect_timeout": "2s", "timeout": "4s", "allow_http": True},
            retry_config={"max_retries": 1},
        )
        self._is_safe = False

    async def read(self) -> Seen | None:
        """See `Place`."""
        return await self._read(self._key)

    async def write(self, content: bytes, version: str | None) -> str:
        """See `Place`. Raises Unreachable also for a store that does not heed conditions."""
        version = await self._put(content, version)
        if not self._is_safe:
            # A store that does not know a condition ignores it; the content is the same then.
            for other in (None, '"0"'):
                with suppress(Changed):
                    await self._put(content, other)
                    raise Unreachable("the store ignores If-None-Match and If-Match")
            self._is_safe = True
        return version

    async def now(self) -> int | None:
        """The time that the store gives to an object that is written now; in whole seconds."""
        key = f"{self._key}.now"
        with self._explained():
            await self._store.put_async(key, b"now")
        seen = await self._read(key)
        return seen.modified_at if seen else None

    async def _read(self, key: str) -> Seen | None:
        try:
            with self._explained():
                found = await self._store.get_async(key)
                content, meta = bytes(await found.bytes_async()), found.meta
        except FileNotFoundError:
            return None
        return Seen(content, str(meta["e_tag"]), int(meta["last_modified"].timestamp() * 1_000))

    async def _put(self, content: bytes, version: str | None) -> str:
        mode: Any = {"e_tag": version} if version else "create"
        with self._explained():
            return str((await self._store.put_async(self._key, content, mode=mode))["e_tag"])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (self._errors.AlreadyExistsError, self._errors.PreconditionError):
            raise Changed from None
        except self._errors.BaseError as error:
            raise Unreachable(" ".join(str(error).split())[:300]) from error


class CommandPlace:
    """A command that keeps the document, for what slad does not speak, such as a Kubernetes Lease.

    `COMMAND read` prints the version in a line, then the document; nothing when there is none. `COMMAND write
    [VERSION]` gets the document on standard input and prints the new version; it ends with code 3 when
    another version is there than VERSION, or any where none is named. Any other code: the place cannot be
    reached.
    """

    CHANGED: Final = 3

    def __init__(self, command: Path) -> None:
        self._command = command

    async def read(self) -> Seen | None:
        """See `Place`."""
        version, _, content = (await self._run(b"", "read")).partition(b"\n")
        return Seen(content, version.decode()) if version else None

    async def write(self, content: bytes, version: str | None) -> str:
        """See `Place`."""
        return (await self._run(content, "write", *([version] if version else []))).decode().strip()

    async def now(self) -> int | None:
        """None: a lease is watched until it ends."""
        return None

    async def _run(self, given: bytes, *arguments: str) -> bytes:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                self._command, *arguments, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            raise Unreachable(f"{self._command}: {error.strerror}") from error
        try:
            told, complaint = await process.communicate(given)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        if process.returncode == self.CHANGED:
            raise Changed
        if process.returncode:
            raise Unreachable(f"{self._command}: {complaint.decode(errors='replace').strip()[-200:]}")
        return told


async def _beside(run: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
    try:
        return await asyncio.to_thread(run, *arguments)
    except OSError as error:
        raise Unreachable(str(error)) from error


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
