"""The README's table comes from the file that the named command makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from co2net.assets import data_path
from co2net.errors import UserError
from co2net.evaluation.report import (
    ABOUT,
    BLOCK,
    READMES,
    SCORES,
    publish,
    read_about,
    read_rows,
    readme_block,
    write_about,
    write_rows,
)
from co2net.evaluation.scores import Row

ROOT = Path(__file__).resolve().parents[3]


def block(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition(BLOCK[0])[2].partition(BLOCK[1])[0].strip()


@pytest.mark.parametrize("language", list(READMES))
def test_every_number_of_the_table_is_that_of_the_file(language: str) -> None:
    scores = data_path("benchmarks", SCORES)
    expected = readme_block(read_rows(scores), read_about(scores), language)
    assert block(ROOT / READMES[language]) == expected


def row(model: str, seed: str, period: str, value: float) -> Row:
    return Row(model, seed, "test", period, "global", "rmse_document", value, value - 0.1,
               value + 0.1, 325)  # fmt: skip


def part(title: str, target: str, shipped: bool = True) -> dict[str, object]:
    return {"title": title, "preset": "XS" if target else "", "target": target,
            "shipped": shipped,
            "trained_on": {"windows": 1600} if target else {"years": "2002-2018"}}  # fmt: skip


def results(folder: Path) -> None:
    rows = [
        row("net", "0", "2000", 1.0), row("net", "1", "2000", 3.0), row("net", "all", "2000", 2.0),
        row("net", "0", "2020", 1.0), row("net", "1", "2020", 3.0), row("net", "all", "2020", 2.0),
        row("net-absolute", "0", "2000", 5.0), row("net-absolute", "0", "2020", 5.0),
        row("kriging", "", "2000", 1.5), row("kriging", "", "2020", 1.9),
    ]  # fmt: skip
    write_rows(folder / SCORES, rows)
    write_about(folder / ABOUT, {
        "models": {"net": part("Net", "residual"), "net@1": part("Net", "residual"),
                   "net-absolute": part("Net", "absolute", shipped=False),
                   "kriging": part("Kriging", "")},
        "seeds": {"net": ["0", "1"], "net-absolute": ["0"], "kriging": [""]},
        "periods": {"2000": "test", "2020": "test"}, "frames": {"2000": 325, "2020": 326},
        "data": {"title": "a world", "version": "1.0"}, "command": "co2net evaluate --publish",
        "every": 9,
        "commit": "abc",
    })  # fmt: skip


def test_the_table_ranks_means_over_seeds_and_marks_what_is_not_shipped(tmp_path: Path) -> None:
    results(tmp_path)
    for name in READMES.values():
        (tmp_path / name).write_text(f"before\n{BLOCK[0]}\nold\n{BLOCK[1]}\nafter\n")
    publish(tmp_path, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    lines = block(tmp_path / "README.md").splitlines()
    assert lines[2] == "| Kriging | – | – | **1.500** (1.40–1.60) | **1.900** (1.80–2.00) |"
    net = "| Net (XS) | corrects interpolation | 1600 | 2.000 (1.90–2.10) | 2.000 (1.90–2.10) |"
    assert lines[3] == net
    assert lines[4].startswith("| Net (XS) † | absolute | 1600 | 5.000")
    assert "651 frames of 2000 and 2020" in lines[-1]
    assert "several seeds of net: their means" in lines[-1]
    chinese = block(tmp_path / "README.zh.md")
    assert "| 克里金插值 | – | – | **1.500**" in chinese
    assert "† 不随程序提供" in chinese
    publish(tmp_path, tmp_path)
    assert (tmp_path / "README.md").read_text() == text  # again changes nothing


def test_a_readme_without_its_marks_is_left_alone(tmp_path: Path) -> None:
    results(tmp_path)
    (tmp_path / "README.md").write_text(f"no end {BLOCK[0]}")
    with pytest.raises(UserError, match=r"README.md lacks the marks"):
        publish(tmp_path, tmp_path)
    assert (tmp_path / "README.md").read_text() == f"no end {BLOCK[0]}"
    (tmp_path / "README.md").unlink()
    with pytest.raises(UserError, match="there is no"):
        publish(tmp_path, tmp_path)
