"""Downloads that can be trusted: parallel, resumed, checked, never half a file under its name.

A file grows as ``.NAME.part`` beside a note of what the server said of it (``.NAME.part.json``).
It takes its final name when its length is the one announced and its content passes the check; a
line in ``manifest.jsonl`` then keeps its address, length and SHA-256. A broken transfer goes on
where it stopped, by ``Range`` with ``If-Range`` (RFC 9110, 13.1.5 and 14): when the file changed
on the server in between, it is fetched from the start, and never glued from two versions.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from co2net.assets import atomic_path
from co2net.errors import UserError

MANIFEST = "manifest.jsonl"
_BLOCK = 1 << 18
_ANSWER = 1 << 26
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "co2net"}
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_NETWORK = (
    *(urllib.error.URLError, http.client.HTTPException),
    *(ConnectionError, TimeoutError, ssl.SSLError),
)


@dataclass(frozen=True)
class Remote:
    """A file to fetch.

    Parameters
    ----------
    url
        Address, http or https.
    name
        Name below the folder it goes to.
    sha256
        Digest that its provider states, in lower-case hexadecimal; None where it does not.
    """

    url: str
    name: str
    sha256: str | None = None


@dataclass(frozen=True)
class Policy:
    """How patient a download is.

    Parameters
    ----------
    attempts
        Tries without a new byte before a file is given up.
    first_wait, longest_wait : s
        Pause after the first failure; it doubles, with jitter, up to the longest. A server's
        ``Retry-After`` counts instead, up to ``longest_wait``.
    timeout : s
        Silence after which a connection is dropped.
    """

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    timeout: float = 30.0

    def pause(self, fails: int, asked: float | None) -> float:
        """Seconds to wait after so many failures, or what the server asks for."""
        if asked is not None:
            return min(asked, self.longest_wait)
        wait = min(self.first_wait * 2 ** (fails - 1), self.longest_wait)
        return wait * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Fetched:
    """What a download did.

    Parameters
    ----------
    folder
        Where the files are.
    fetched, kept
        Names of the files fetched now, and of those that were there and whole.
    failed
        Name -> one line that says why.
    bytes
        Bytes received.
    seconds
        Time taken.
    """

    folder: str
    fetched: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str]
    bytes: int
    seconds: float

    def lines(self) -> list[str]:
        """For people: one line a fact."""
        size = f"{self.bytes / 1e6:.1f} MB in {self.seconds:.0f} s"
        text = [f"{self.folder}: {len(self.fetched)} fetched ({size}), {len(self.kept)} were there"]
        return text + [f"failed: {reason}" for reason in self.failed.values()]


def download(
    items: Sequence[Remote],
    to: str | Path,
    *,
    workers: int = 4,
    policy: Policy | None = None,
    check: Callable[[Path], None] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Fetched:
    """Fetch files into a folder; call it again and it goes on where it stopped.

    Parameters
    ----------
    items
        Files, with distinct names.
    to
        Folder; made when absent.
    workers
        Connections at once.
    policy
        Patience.
    check
        Raises UserError for a file whose content is not what it should be (a web page that came
        with status 200); it is then fetched again.
    progress
        Called with the share done and a text with rate and time left.

    Returns
    -------
    Fetched
        A file that could not be had is named in ``failed``; the others are complete.

    Raises
    ------
    UserError
        When names repeat, an address is not http(s), or the folder cannot be written.
    """
    folder = Path(to)
    names = [item.name for item in items]
    if len(set(names)) != len(names):
        raise UserError("download: two files of one name")
    for item in items:
        if not item.url.startswith(("http://", "https://")):
            raise UserError(f"download: {item.url!r} is no http or https address")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from error
    began = time.monotonic()
    work = _Work(folder, policy or Policy(), check, _Meter(len(items), progress))
    fetched: list[str] = []
    kept: list[str] = []
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        futures = {pool.submit(work.one, item): item for item in items}
        try:
            for future in as_completed(futures):
                name = futures[future].name
                try:
                    (fetched if future.result() else kept).append(name)
                except _GivenUp as error:
                    failed[name] = str(error)
        finally:  # reached early by an interrupt or a full disk
            work.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return Fetched(
        folder=str(folder),
        fetched=tuple(sorted(fetched)),
        kept=tuple(sorted(kept)),
        failed=dict(sorted(failed.items())),
        bytes=work.meter.bytes,
        seconds=time.monotonic() - began,
    )


class _GivenUp(Exception):
    """A file that cannot be had; the others go on."""


class _TryAgain(Exception):
    """A passing failure, with the pause that the server asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class _Meter:
    """Bytes and files so far, told to the caller a few times a second."""

    files: int
    progress: Callable[[float, str], None] | None
    bytes: int = 0
    _done: int = 0
    _shares: dict[str, float] = field(default_factory=dict)
    _start: float = field(default_factory=time.monotonic)
    _kept: int = 0
    _told: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, count: int, have: int, total: int | None) -> None:
        with self._lock:
            self.bytes += count
            self._shares[name] = have / total if total else 0.0
            self._tell()

    def finish(self, name: str, kept: bool) -> None:
        with self._lock:
            self._shares.pop(name, None)
            self._done += 1
            self._kept += kept
            self._tell(force=True)

    def _tell(self, force: bool = False) -> None:
        now = time.monotonic()
        if self.progress is None or (now - self._told < 0.2 and not force):
            return
        self._told = now
        share = (self._done + sum(self._shares.values())) / max(1, self.files)
        passed = now - self._start
        gained = share - self._kept / max(1, self.files)
        text = f"{self._done}/{self.files} files, {self.bytes / 1e6 / max(passed, 1e-3):.1f} MB/s"
        if gained > 0 and share < 1:
            text += f", {_span(passed * (1 - share) / gained)} left"
        self.progress(min(share, 1.0), text)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


class _Work:
    """Everything that the workers share."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        check: Callable[[Path], None] | None,
        meter: _Meter,
    ) -> None:
        self.folder, self.policy, self.check, self.meter = folder, policy, check, meter
        self.stop = threading.Event()
        self._manifest = _Manifest(folder / MANIFEST)

    def one(self, item: Remote) -> bool:
        """Fetch a file; False when it was there."""
        final = self.folder / item.name
        part = _Part(final)
        kept = False
        try:
            kept = self._is_whole(item, final)
            if kept:
                return False
            best, fails = 0, 0
            while True:
                if self.stop.is_set():
                    raise _GivenUp(f"{item.url}: stopped")
                try:
                    self._transfer(item, part)
                    self._accept(item, part, final)
                    return True
                except _TryAgain as failure:
                    have = part.size()
                    fails = 1 if have > best else fails + 1
                    best = max(best, have)
                    if fails >= self.policy.attempts:
                        raise _GivenUp(f"{item.url}: {failure}, {fails} times") from failure
                    self.stop.wait(self.policy.pause(fails, failure.wait))
        finally:
            self.meter.finish(item.name, kept)

    def _is_whole(self, item: Remote, final: Path) -> bool:
        """Whether the final file is there: finished by an earlier call, or by other means.

        A file that the manifest does not know is taken over when it has the length that the
        server announces.
        """
        if not final.exists():
            return False
        known = self._manifest.get(item.name)
        length = known["bytes"] if known else self._announced(item)
        if final.stat().st_size != length or (self.check and not _passes(self.check, final)):
            return False
        if known is None:
            self._enter(item, final)
        return True

    def _announced(self, item: Remote) -> int | None:
        """Length that the server announces; None where it does not."""
        request = urllib.request.Request(item.url, method="HEAD", headers=_HEADERS)
        try:
            with urllib.request.urlopen(request, timeout=self.policy.timeout) as answer:
                length = answer.headers.get("Content-Length", "")
        except _NETWORK:
            return None
        return int(length) if length.isdecimal() else None

    def _transfer(self, item: Remote, part: _Part) -> None:
        """Bring the partial file to its full length, or raise _TryAgain."""
        have, note = part.resume(item.url)
        if have and have == note["total"]:  # an earlier call ended between transfer and check
            return
        headers = dict(_HEADERS)
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": note["validator"]}
        request = urllib.request.Request(item.url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.policy.timeout) as answer:
                self._receive(item, part, answer, have, note)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the partial file is not a beginning of the file there
                part.drop()
                raise _TryAgain("the server refuses to go on with it (416)") from error
            if error.code in _AGAIN:
                wait = _retry_after(error.headers.get("Retry-After"))
                raise _TryAgain(f"the server answers {error.code}", wait) from error
            raise _GivenUp(f"{item.url}: the server answers {error.code} {error.reason}") from error
        except _NETWORK as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise _TryAgain(f"the connection fails ({reason})") from error

    def _receive(
        self, item: Remote, part: _Part, answer: Any, have: int, note: Mapping[str, Any]
    ) -> None:
        validator = _validator(answer.headers)
        if answer.status == 206:
            start, total = _content_range(answer.headers.get("Content-Range", ""))
            same = validator is None or validator == note["validator"]
            if start != have or not same or total != note["total"]:
                part.drop()
                raise _TryAgain("the file changed on the server")
        else:  # 200: the whole file, be it because it changed or because ranges are not known
            have = 0
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdecimal() else None
            part.begin(item.url, validator, total)
        with part.append(have) as handle:
            while block := answer.read1(_BLOCK):  # what is there, so that a stall loses nothing
                try:
                    handle.write(block)
                except OSError as error:
                    raise UserError(f"{part.path}: cannot be written ({error.strerror})") from error
                have += len(block)
                self.meter.add(item.name, len(block), have, total)
                if self.stop.is_set():
                    raise _GivenUp(f"{item.url}: stopped")
        if total is not None and have > total:
            part.drop()
            raise _TryAgain(f"{have} bytes came, {total} were announced")
        if total is not None and have < total:
            raise _TryAgain(f"the transfer broke off at {have} of {total} bytes")

    def _accept(self, item: Remote, part: _Part, final: Path) -> None:
        """Check the content, give the final name, enter the manifest."""
        if item.sha256 is not None and _sha256(part.path) != item.sha256:
            part.drop()
            raise _TryAgain("what came has another SHA-256 than its provider states")
        if self.check is not None:
            try:
                self.check(part.path)
            except UserError as error:
                part.drop()
                told = str(error).removeprefix(f"{part.path}: ").removesuffix("; fetch it again")
                raise _TryAgain(f"what came {told}") from error
        with part.path.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(part.path, final)
        part.drop()
        self._enter(item, final)

    def _enter(self, item: Remote, final: Path) -> None:
        digest = _sha256(final)
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        self._manifest.add(_Entry(item.name, item.url, final.stat().st_size, digest, stamp))


def get_json(url: str, policy: Policy) -> Any:
    """What an address answers, read as JSON; passing failures are tried again.

    Raises
    ------
    UserError
        When it does not answer, or not with JSON.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url!r} is no http or https address")
    request = urllib.request.Request(url, headers=_HEADERS)
    for fails in range(1, policy.attempts + 1):
        try:
            with urllib.request.urlopen(request, timeout=policy.timeout) as answer:
                return json.loads(answer.read(_ANSWER))
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            wait = _retry_after(error.headers.get("Retry-After"))
            if error.code not in _AGAIN:
                break
        except _NETWORK as error:
            reason = f"the connection fails ({getattr(error, 'reason', None) or error})"
            wait = None
        except ValueError:
            reason, wait = "the answer is no JSON", None
        if fails < policy.attempts:
            time.sleep(policy.pause(fails, wait))
    raise UserError(f"{url}: {reason}; try later or name another server")


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _passes(check: Callable[[Path], None], path: Path) -> bool:
    try:
        check(path)
    except UserError:
        return False
    return True


def _validator(headers: Any) -> str | None:
    """What identifies a version of a file for If-Range: a strong ETag, else its date."""
    tag = headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return headers.get("Last-Modified")


def _content_range(text: str) -> tuple[int | None, int | None]:
    """First byte and full length from ``bytes 5-9/10``; None where it does not say."""
    try:
        span, total = text.removeprefix("bytes ").split("/")
        return int(span.split("-")[0]), int(total) if total != "*" else None
    except ValueError:
        return None, None


def _retry_after(text: str | None) -> float | None:
    """Seconds from ``Retry-After``: a number, or a date."""
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


class _Part:
    """The growing file, and the note beside it."""

    def __init__(self, final: Path) -> None:
        self.path = final.with_name(f".{final.name}.part")
        self._note = final.with_name(f".{final.name}.part.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def resume(self, url: str) -> tuple[int, Mapping[str, Any]]:
        """Bytes to go on from, and the note; 0 where going on is not safe."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            safe = note["url"] == url and note["validator"] and note["total"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0, {}
        have = self.size()
        return (have, note) if safe and 0 < have <= note["total"] else (0, {})

    def begin(self, url: str, validator: str | None, total: int | None) -> None:
        """Note what is about to come; the old bytes go first, so that no note is of others."""
        self.drop()
        with atomic_path(self._note) as draft:
            note = {"url": url, "validator": validator, "total": total}
            draft.write_text(json.dumps(note), encoding="utf-8")

    def append(self, have: int) -> Any:
        """The file, open for writing behind its first ``have`` bytes."""
        try:
            handle = self.path.open("r+b" if have else "wb")
            handle.truncate(have)
            handle.seek(have)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error
        return handle


@dataclass(frozen=True)
class _Entry:
    name: str
    url: str
    bytes: int
    sha256: str
    fetched: str


class _Manifest:
    """``manifest.jsonl``: a line a finished file, the last one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._entries = read_manifest(path.parent)

    def get(self, name: str) -> Mapping[str, Any] | None:
        return self._entries.get(name)

    def add(self, entry: _Entry) -> None:
        line = json.dumps(asdict(entry))
        with self._lock, self._path.open("a+b") as handle:
            if handle.tell():  # a line torn by a crash must not swallow this one
                handle.seek(-1, os.SEEK_END)
                if handle.read(1) != b"\n":
                    handle.write(b"\n")
            handle.write(line.encode() + b"\n")


def read_manifest(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Name -> ``name, url, bytes, sha256, fetched`` of the files finished in a folder."""
    entries: dict[str, dict[str, Any]] = {}
    try:
        lines = (Path(folder) / MANIFEST).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return entries
    for line in lines:
        try:
            entry = json.loads(line)
            if isinstance(entry["bytes"], int):
                entries[entry["name"]] = entry
        except (ValueError, KeyError, TypeError):  # torn by a crash
            continue
    return entries
