"""The catalogue of data sets: what each is, whose, under which terms, and how to get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from co2net.assets import data_path
from co2net.errors import UserError

Role = Literal["truth", "observations", "reference", "map"]
LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class Version:
    """A release of a data set.

    Parameters
    ----------
    name
        As its files say it.
    period
        First and last ISO day, or None where it is not stated.
    doi
        Without ``https://doi.org/``; None where it has none of its own.
    default
        Whether the commands mean this one.
    """

    name: str
    period: tuple[str, str] | None
    doi: str | None
    default: bool


@dataclass(frozen=True)
class Content:
    """A variable: its original name, where a store keeps it, and the level it is taken from."""

    original: str
    store: str
    level: str


@dataclass(frozen=True)
class Entry:
    """A data set.

    Parameters
    ----------
    key
        Name in commands and addresses.
    role
        ``truth``, ``observations``, ``reference`` or ``map``.
    included
        Whether it needs no download.
    agreement
        Whether the provider asks the user to agree to terms first.
    simulated
        Whether its CO2 is a free simulation and not of the real Earth.
    title, description
        Language (`LANGUAGES`) -> text.
    provider, citation, licence, resolution, size
        Texts.
    doi, licence_url, acknowledgement, url
        Texts, or None where there is none.
    period
        First and last ISO day, or None.
    versions
        Releases, one of them the default.
    variables
        What is read of it.
    obtain
        Language -> steps to get it.
    commands
        What to type, in order; empty where the program takes nothing from the user.
    """

    key: str
    role: Role
    included: bool
    agreement: bool
    simulated: bool
    title: Mapping[str, str]
    provider: str
    description: Mapping[str, str]
    citation: str
    doi: str | None
    licence: str
    licence_url: str | None
    acknowledgement: str | None
    url: str | None
    period: tuple[str, str] | None
    resolution: str
    size: str
    versions: tuple[Version, ...]
    variables: tuple[Content, ...]
    obtain: Mapping[str, tuple[str, ...]]
    commands: tuple[str, ...]

    @property
    def doi_url(self) -> str | None:
        """Address of the DOI."""
        return None if self.doi is None else f"https://doi.org/{self.doi}"

    @property
    def version(self) -> Version:
        """The default release."""
        return next(version for version in self.versions if version.default)


@cache
def load_catalog(path: Path | None = None) -> tuple[Entry, ...]:
    """All data sets, in the order of ``data/catalog.yml``.

    Raises
    ------
    UserError
        When an entry lacks a field, has one that is not known, or repeats a key.
    """
    import yaml

    path = path or data_path("catalog.yml")
    try:
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())[:120]})") from error
    if not isinstance(rows, list):
        raise UserError(f"{path}: is no list of data sets")
    entries = tuple(_entry(row, path) for row in rows)
    keys = [entry.key for entry in entries]
    if len(set(keys)) != len(keys):
        raise UserError(f"{path}: two data sets of one key")
    return entries


def entry(key: str) -> Entry:
    """The data set of a key.

    Raises
    ------
    UserError
        When there is none.
    """
    known = {one.key: one for one in load_catalog()}
    if key not in known:
        raise UserError(f"data set '{key[:40]}' is unknown; choose from {', '.join(known)}")
    return known[key]


def _entry(row: Any, path: Path) -> Entry:
    where = f"{path}: {row.get('key', '?') if isinstance(row, dict) else row!r}"
    wanted = {field.name for field in fields(Entry)}
    if not isinstance(row, dict) or set(row) != wanted:
        odd = sorted(wanted ^ set(row)) if isinstance(row, dict) else ["everything"]
        raise UserError(f"{where}: missing or not known: {', '.join(odd)}")
    try:
        made = Entry(
            **{
                **row,
                "period": _period(row["period"]),
                "versions": tuple(
                    Version(**{**one, "period": _period(one["period"])}) for one in row["versions"]
                ),
                "variables": tuple(Content(**one) for one in row["variables"]),
                "obtain": {language: tuple(row["obtain"][language]) for language in LANGUAGES},
                "commands": tuple(row["commands"]),
            }
        )
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error
    if made.role not in get_args(Role):
        raise UserError(f"{where}: role '{made.role}' is not one of {', '.join(get_args(Role))}")
    if [version.default for version in made.versions].count(True) != 1:
        raise UserError(f"{where}: one version must be the default")
    for texts in (made.title, made.description):
        if set(texts) != set(LANGUAGES):
            raise UserError(f"{where}: texts are wanted in {' and '.join(LANGUAGES)}")
    return made


def _period(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    first, last = value
    return str(first), str(last)


_HEADINGS = {
    "en": "| data set | whose | period, resolution | terms | cite |",
    "zh": "| 数据集 | 提供者 | 时段、分辨率 | 条款 | 引用 |",
}


def markdown(language: str = "en") -> str:
    """The table of data sets, for the documents; titles and headings in ``en`` or ``zh``."""
    lines = [_HEADINGS[language], "|---|---|---|---|---|"]
    for one in load_catalog():
        span = " to ".join(day[:4] for day in one.period) + ", " if one.period else ""
        cite = f"[doi:{one.doi}]({one.doi_url})" if one.doi else one.citation
        lines.append(
            f"| {one.title[language]} | {one.provider} | {span}{one.resolution} | {one.licence} "
            f"| {cite} |"
        )
    return "\n".join(lines)
