"""Languages: the same strings in both, none missing where the code asks for one."""

import re
from pathlib import Path

import pytest
import yaml

import dashboard
from co2net.regions import regions
from co2net.schema import AUXILIARY
from dashboard.i18n import LANGUAGES, Translator, catalogue
from dashboard.numbers import METRICS
from dashboard.pages import registry

HOME = Path(dashboard.__file__).parent


def test_every_language_has_the_same_strings():
    english, chinese = catalogue("en"), catalogue("zh")
    assert set(LANGUAGES) == {"en", "zh"}
    assert english.keys() == chinese.keys()


def test_placeholders_agree():
    for key, text in catalogue("en").items():
        names = set(re.findall(r"{(\w+)}", text))
        assert names == set(re.findall(r"{(\w+)}", catalogue("zh")[key])), key


def test_nothing_is_left_in_english():
    # Names and units that are the same in both languages.
    same = {k for k, v in catalogue("en").items() if k.startswith("model.") and v.isascii()}
    for key, text in catalogue("zh").items():
        if key not in same and key != "shell.language":
            assert re.search("[\u4e00-\u9fff]", text), f"{key} is not translated: {text}"


def test_the_code_asks_only_for_strings_that_exist():
    known = catalogue("en")
    asked = set()
    tops = "|".join({key.split(".")[0] for key in known})
    for path in HOME.rglob("*.py"):
        asked |= set(re.findall(rf'"((?:{tops})\.(?!js)[a-z_0-9-]+)"', path.read_text("utf-8")))
    assert len(asked) > 30
    assert asked <= known.keys()
    sections = {"shell": "shell", "timebar": "bar", "inspector": "inspector", "board": "map"}
    sections["training"] = "training"
    for name, section in sections.items():
        source = (HOME / "assets" / f"{name}.js").read_text("utf-8")
        for key in re.findall(r"\bsay\.(\w+)", source):
            assert f"{section}.{key}" in known, f"{name}.js asks for {section}.{key}"


def test_names_of_things_are_there():
    for key in registry():
        assert f"page.{key}" in catalogue("en")
    for key in regions():
        assert f"region.{key}" in catalogue("en")
    for name in AUXILIARY:
        assert f"variable.{name}" in catalogue("en")
    for name in METRICS:
        assert f"numbers.{name}" in catalogue("en")


def test_no_string_of_the_page_is_written_in_a_component():
    """Text between tags of a component's template would escape translation."""
    for path in (HOME / "assets").glob("*.js"):
        source = path.read_text("utf-8")
        for template in re.findall(r"innerHTML = `(.*?)`", source, re.DOTALL):
            plain = re.sub(r"<[^>]*>|\$\{[^}]*\}", " ", template)
            assert plain.replace("UTC", "").strip() == "", f"{path.name}: {plain.strip()}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_are_filled_in(language):
    assert "2012-06" in Translator(language)("notice.no_month", month="2012-06", known="x")


def test_the_files_are_plain_yaml():
    for language in LANGUAGES:
        text = (HOME / "i18n" / f"{language}.yml").read_text("utf-8")
        assert isinstance(yaml.safe_load(text), dict)
