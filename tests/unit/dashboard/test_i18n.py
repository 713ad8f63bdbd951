"""Languages: the same strings in both, none missing where the code asks for one."""

import ast
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


# What may be the same in English and Chinese: names of models, and words without letters.
_SAME = re.compile(r"(model|short)\.|shell\.language$")
# Python texts of two or more English words that a visitor never sees, by what they begin with.
_UNSEEN = ("import sys; ", "Inter,'Segoe UI'", "nature run", "exit status ", ": nothing from ")


def test_nothing_is_the_same_in_both_languages():
    english, chinese = catalogue("en"), catalogue("zh")
    same = {key for key in english if english[key] == chinese[key] and not _SAME.match(key)}
    assert {key: english[key] for key in same if re.search("[A-Za-z]{3}", english[key])} == {}


def _visible(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, text) of the strings of a module that could be shown: no docs, errors, logs, code."""
    hidden: set[int] = set()

    def hide(node: ast.AST | None) -> None:
        hidden.update(id(one) for one in ast.walk(node) if node is not None)

    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for one in node.body:
                if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                    hide(one)
        elif isinstance(node, ast.Raise | ast.Assert):
            hide(node)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.startswith("log.") or name.endswith(
                ("Error", "css", "re.compile", "fullmatch")
            ):
                hide(node)
            for keyword in node.keywords:
                if keyword.arg in ("doc", "code", "name"):
                    hide(keyword.value)
        elif isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            if target.strip("_").isupper():  # constants: palettes, code for the browser
                hide(node)
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in hidden
    ]


def test_no_english_is_written_into_python():
    found = []
    for path in sorted(HOME.rglob("*.py")):
        if path.name in ("bench.py", "__main__.py", "screenshots.py", "browser.py") or (
            path.parent.name in ("bench", "export")
        ):  # a script's output, and what files say of themselves
            continue
        for number, text in _visible(ast.parse(path.read_text("utf-8"))):
            markup = re.sub(r"<[^>]*(>|$)|^[^<]*>|[\w-]+:[^;]*;?", " ", text)
            if re.search("[A-Za-z]{2,},? [a-z]{2,}", markup) and not text.startswith(_UNSEEN):
                found.append(f"{path.relative_to(HOME)}:{number}: {text[:60]}")
    assert found == []


_SHOWN_IN_BROWSER = (
    r"(?:textContent|title|placeholder|innerText) = \"([^\"]*)\"",
    r"setAttribute\(\"(?:aria-label|title|placeholder|alt)\", \"([^\"]*)\"",
    r"\bel\(\"\w+\", \"[^\"]*\", \"([^\"]*)\"",
    r"\b(?:button|label)\([^\"()]*, \"([^\"]*)\"",
)


def test_no_english_is_written_into_the_browsers_half():
    for path in sorted((HOME / "assets").glob("*.js")):
        source = path.read_text("utf-8")
        for pattern in _SHOWN_IN_BROWSER:
            for text in re.findall(pattern, source):
                assert not re.search("[A-Za-z]{3}", text), f"{path.name}: {text}"
