"""CMIP6 files: asked of an ESGF index, and fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from co2net.datasets import netcdf
from co2net.datasets.cmip6.reading import NAMES, SPAN
from co2net.datasets.download import Fetched, Policy, Remote, download, get_json
from co2net.errors import UserError

Progress = Callable[[float, str], None]

SEARCH = "https://esgf-node.llnl.gov/esg-search/search"
"""Address of an ESGF index; any other takes the same questions."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of ESGF.

    Parameters
    ----------
    model, experiment, member, grid
        Facets of CMIP6; ``esm-hist`` is the historical experiment driven by emissions, in which
        CO2 moves, ``historical`` the one driven by concentrations.
    variables
        Of table Amon.
    start, end
        First and last year wanted; files that touch them are taken. None: all.
    """

    model: str = "CanESM5"
    experiment: str = "esm-hist"
    member: str = "r1i1p1f1"
    grid: str = "gn"
    variables: tuple[str, ...] = tuple(NAMES)
    start: int | None = None
    end: int | None = None

    def query(self, base_url: str = SEARCH, offset: int = 0, limit: int = 200) -> str:
        """Address that answers with the files, as the ESGF search service takes it."""
        words = {
            "project": "CMIP6",
            "type": "File",
            "source_id": self.model,
            "experiment_id": self.experiment,
            "variant_label": self.member,
            "grid_label": self.grid,
            "table_id": "Amon",
            "variable_id": ",".join(self.variables),
            "latest": "true",
            "distrib": "true",
            "format": "application/solr+json",
            "fields": "title,url,size,checksum,checksum_type,variable_id,replica",
            "offset": offset,
            "limit": limit,
        }
        return f"{base_url.rstrip('/')}?{urlencode(words)}"


def search(
    wanted: Wanted, base_url: str | None = None, policy: Policy | None = None
) -> list[Remote]:
    """The files that an ESGF index knows, one address a file.

    Raises
    ------
    UserError
        When the index cannot be asked, does not answer as described, or lacks a variable.
    """
    found: dict[str, Remote] = {}
    variables: set[str] = set()
    offset, total = 0, 1
    while offset < total:
        address = wanted.query(base_url or SEARCH, offset)
        answer = get_json(address, policy or Policy())
        try:
            total = int(answer["response"]["numFound"])
            rows = answer["response"]["docs"]
            for row in rows:
                remote = _remote(row)
                if remote is not None and _touches(remote.name, wanted):
                    found.setdefault(remote.name, remote)
                    variables.update(row["variable_id"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{address}: answers, but not as an ESGF index does ({type(error).__name__}); "
                "name another with --base-url"
            ) from error
        if not rows:
            break
        offset += len(rows)
    lacking = [name for name in wanted.variables if name not in variables]
    if lacking:
        raise UserError(
            f"the index has no {', '.join(lacking)} of {wanted.model} {wanted.experiment} "
            f"{wanted.member} {wanted.grid}; choose another --member or --variables"
        )
    return [found[name] for name in sorted(found)]


def _remote(row: Mapping[str, Any]) -> Remote | None:
    """A file of an answer; None when no server gives it over HTTP."""
    urls = [text.split("|") for text in row["url"]]
    plain = [parts[0] for parts in urls if parts[-1] == "HTTPServer"]
    name = str(row["title"])
    if not plain or Path(name).name != name or not name.endswith(".nc"):
        return None
    kind = str((row.get("checksum_type") or [""])[0]).lower()
    digest = row["checksum"][0].lower() if kind == "sha256" and row.get("checksum") else None
    return Remote(plain[0], name, digest)


def _touches(name: str, wanted: Wanted) -> bool:
    span = SPAN.search(name)
    if span is None:
        return True
    first, last = int(span[1]), int(span[3])
    return (wanted.end is None or first <= wanted.end) and (
        wanted.start is None or last >= wanted.start
    )


def fetch(
    wanted: Wanted,
    to: str | Path,
    *,
    base_url: str | None = None,
    workers: int = 4,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Ask an ESGF index and download what it names; see `search` and `download.download`."""
    return download(
        search(wanted, base_url, policy),
        to,
        workers=workers,
        policy=policy or Policy(),
        check=netcdf.check_file,
        progress=progress,
    )
