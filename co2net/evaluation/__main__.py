"""Make ``docs/results.md`` and the table behind it: ``python -m co2net.evaluation``.

Needs 2000, 2020, August 2019 and a day before each, so usually the archive of 21 years
(``co2net simulate --archive data/archive``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from co2net import models
from co2net.assets import atomic_path, data_path
from co2net.background import Background, default_background_path
from co2net.errors import UserError
from co2net.evaluation import cases, report
from co2net.naturerun import WorldSource
from co2net.schema import open_store


def tell(share: float, text: str) -> None:
    """One line on the terminal."""
    print(f"\r{share:4.0%} {text:50}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Score every shipped model on the test years and on the case studies."""
    parser = argparse.ArgumentParser("python -m co2net.evaluation", description=__doc__)
    parser.add_argument("--data", type=Path, default=data_path("archive"), help="store or archive")
    parser.add_argument("--every", type=int, default=9, help="score every n-th frame")
    parser.add_argument("--models", default=",".join(models.available()), help="with commas")
    parser.add_argument("--scores", type=Path, default=data_path("benchmarks", "results.csv"))
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"))
    asked = parser.parse_args()
    try:
        archive = (asked.data / "meta.json").is_file()
        source = WorldSource(asked.data) if archive else open_store(asked.data)
        loaded = [models.load(name) for name in asked.models.split(",")]
        periods = [
            report.Period("2000", "test", asked.every),
            report.Period("2020", "test", asked.every),
            report.Period("2019-08", "validation", asked.every),
        ]
        background = Background.load(default_background_path())
        rows = report.evaluate(source, loaded, periods, asked.scores, background, progress=tell)
        series = [cases.case_series(source, loaded, case, tell) for case in cases.CASES]
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    about = report.read_about(asked.scores)
    command = f"python -m co2net.evaluation --every {asked.every}"
    page = report.results_page(rows, about, command) + "\n" + cases.markdown(series)
    with atomic_path(asked.page) as draft:
        draft.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
