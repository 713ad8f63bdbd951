"""The product's archive: how it is had, and what is taken out of it."""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from co2net.assets import atomic_path
from co2net.datasets.catalog import entry
from co2net.errors import UserError


def steps() -> list[str]:
    """What a person does to get the product: its provider asks for agreement first."""
    known = entry("obspack")
    return [f"{known.title['en']}: {known.url}", *known.obtain["en"], f"Cite: {known.citation}"]


def unpack(archive: str | Path, to: str | Path) -> Path:
    """Take the data files out of a downloaded archive, and nothing outside the folder.

    Only ``.nc`` and ``.txt`` files are written. Members with absolute names, with ``..``, links and
    devices make the whole archive refused, before anything is written.

    Parameters
    ----------
    archive
        ``.tar``, ``.tar.gz`` or ``.zip``, as downloaded.
    to
        A folder that does not exist yet.

    Raises
    ------
    UserError
        When it is no archive, is damaged or unsafe, holds no data, or the folder is there.
    """
    archive, to = Path(archive), Path(to)
    if to.exists():
        raise UserError(f"{to} exists already; give another --to or remove it")
    try:
        members: list[tuple[str, str, int, Any]]
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                members = [
                    (item.filename, _zip_kind(item), item.file_size, item)
                    for item in packed.infolist()
                ]
                return _write(archive, to, members, packed.open)
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as packed:
                members = [(item.name, _tar_kind(item), item.size, item) for item in packed]
                return _write(archive, to, members, packed.extractfile)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError,
            RuntimeError, ValueError) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        raise UserError(f"{archive}: cannot be unpacked ({reason}); download it again") from error
    raise UserError(f"{archive}: is neither a tar nor a zip archive; download it again")


def _zip_kind(item: zipfile.ZipInfo) -> str:
    mode = item.external_attr >> 16 & 0o170000
    return "folder" if item.is_dir() else "file" if mode in (0, 0o100000) else "other"


def _tar_kind(item: tarfile.TarInfo) -> str:
    return "folder" if item.isdir() else "file" if item.isfile() else "other"


def _write(
    archive: Path,
    to: Path,
    members: Sequence[tuple[str, str, int, Any]],
    read: Callable[[Any], Any],
) -> Path:
    """Write the wanted members into a draft of the folder, which then takes its name."""
    wanted, total = [], 0
    for name, kind, size, item in members:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if kind == "other" or not parts or ".." in parts or parts[0] == "/" or ":" in parts[0]:
            raise UserError(
                f"{archive}: is not safe to unpack (member {name[:80]!r} is a link, a device or "
                "leads outside); download it from its provider again"
            )
        if kind == "file" and parts[-1].endswith((".nc", ".txt")):
            wanted.append((Path(*parts), item))
            total += size
    if not any(is_dataset(path.name) for path, _ in wanted):
        raise UserError(f"{archive}: holds no file of CO2 measurements (co2_SITE_....nc or .txt)")
    to.parent.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(to.parent).free:
        raise UserError(f"{archive}: {total / 1e9:.1f} GB do not fit on the disk of {to}")
    with atomic_path(to) as draft:
        for path, item in wanted:
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            with read(item) as source, (draft / path).open("xb") as target:
                shutil.copyfileobj(source, target)
    return to


def is_dataset(name: str) -> bool:
    """Whether a file is named as a dataset of CO2 is."""
    return re.fullmatch(r"co2_[a-z0-9]+_[a-z]+-[a-z0-9]+_.+\.(nc|txt)", name, re.I) is not None
