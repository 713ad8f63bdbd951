"""The catalogue: complete, true to the code, and the same as in the documents."""

import csv
from pathlib import Path

import pytest
from typer.main import get_command

from co2net.assets import data_path
from co2net.cli import app
from co2net.datasets.catalog import entry, load_catalog, markdown
from co2net.errors import UserError
from co2net.schema import VARIABLES

ROOT = Path(__file__).resolve().parents[3]


def test_every_data_set_says_whose_it_is_and_under_which_terms():
    entries = load_catalog()
    assert {"nature-run", "carbontracker", "cmip6", "obspack"} <= {one.key for one in entries}
    for one in entries:
        assert one.citation
        assert one.licence
        assert one.version in one.versions
        assert one.doi is None or (one.doi.startswith("10.") and one.doi_url.endswith(one.doi))
        for texts in (one.title, one.description, one.obtain):
            assert all(texts[language] for language in ("en", "zh"))
    assert entry("carbontracker").doi == "10.25925/z1gj-3254"


def test_variables_of_truths_are_the_schemas():
    for one in load_catalog():
        if one.role == "truth":
            assert {content.store for content in one.variables} <= set(VARIABLES)
            assert "co2" in {content.store for content in one.variables}


def test_commands_exist_with_their_options():
    for one in load_catalog():
        for line in one.commands:
            program, *words = line.split()
            assert program == "co2net"
            command = get_command(app)
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            known = {text for option in command.params for text in option.opts}
            assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize(
    ("document", "language"), [("docs/data.md", "en"), ("README.md", "en"), ("README.zh.md", "zh")]
)
def test_the_documents_show_the_same_table(document, language):
    assert markdown(language) in (ROOT / document).read_text(encoding="utf-8")


def test_global_means_are_noaas():
    with data_path("noaa_global_co2.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    year = [float(row["co2"]) for row in rows if row["year"] == "2020"]
    assert len(year) == 12
    # NOAA's annual mean of 2020 (co2_annmean_gl): 412.44
    assert sum(year) / 12 == pytest.approx(412.44, abs=0.02)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("key: x", "no list of data sets"),
        ("- key: x", "missing or not known: acknowledgement"),
        ("- [1, 2", "cannot be read"),
        ("- 3", "everything"),
    ],
)
def test_a_broken_catalogue_is_one_line(tmp_path, text, match):
    path = tmp_path / "catalog.yml"
    path.write_text(text)
    with pytest.raises(UserError, match=match) as caught:
        load_catalog(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_key():
    with pytest.raises(UserError, match="choose from nature-run"):
        entry("nothing")
