"""What the library tells a visitor of the Training page, in the visitor's language."""

import ast
import errno
import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

import co2net
import dashboard
from dashboard.i18n import Translator, told

LIBRARY = Path(co2net.__file__).parent
# Where whatever the page of trainings can provoke is said.
SPEAKERS = [
    *sorted((LIBRARY / "jobs").glob("*.py")),
    *(LIBRARY / "training" / name for name in ("config.py", "loop.py", "state.py")),
    *(LIBRARY / name for name in ("windows.py", "source.py", "background.py", "resident.py")),
    *(LIBRARY / name for name in ("observations.py", "schema.py", "reconstruct.py", "cluster.py")),
    *(LIBRARY / "models" / name for name in ("registry.py", "layers.py", "co2net.py")),
    *(LIBRARY / name for name in ("embeddings.py", "models/checkpoint.py", "naturerun/archive.py")),
    *(LIBRARY / "evaluation" / name for name in ("request.py", "entrants.py")),
    Path(dashboard.__file__).with_name("training_form.py"),
]
GAP = "\0"


def wordings(node: ast.expr) -> list[str]:
    """All texts that an expression can come to, with a mark where values are filled in."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(parts) for parts in product(*(wordings(part) for part in node.values))]
    if isinstance(node, ast.FormattedValue):
        return wordings(node.value) if isinstance(node.value, ast.IfExp) else [GAP]
    if isinstance(node, ast.IfExp):
        return [*wordings(node.body), *wordings(node.orelse)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [a + b for a, b in product(wordings(node.left), wordings(node.right))]
    return [GAP]


def faults(path: Path) -> Iterator[str]:
    """Texts of the `UserError`s that a module makes."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "UserError":
            yield from (text for text in wordings(node.args[0]) if re.search("[a-z]{3}", text))


def texts() -> set[str]:
    """All texts of the library and of the page's form."""
    paths = [*LIBRARY.rglob("*.py"), *SPEAKERS]
    trees = (ast.parse(path.read_text("utf-8")) for path in paths)
    kinds = ast.Constant | ast.JoinedStr | ast.BinOp | ast.IfExp
    return {
        text
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        for text in wordings(node)
    }


@pytest.mark.parametrize("path", SPEAKERS, ids=lambda path: path.name)
def test_every_fault_that_a_training_can_meet_is_told_in_chinese(path):
    english, chinese = Translator("en"), Translator("zh")
    for fault in faults(path):
        text = fault.replace(GAP, "x7")
        assert english.told(text) == text
        found = chinese.told(text)
        assert re.search("[\u4e00-\u9fff]", found), f"{path.name}: {fault.replace(GAP, '{}')}"
        assert found.count("x7") == fault.count(GAP), found


def test_no_wording_is_kept_that_the_library_does_not_use():
    system = {os.strerror(number) for number in errno.errorcode}
    known = system | {re.sub(f"{GAP}+", GAP, text) for text in texts()}
    unused = [one for one in told("zh") if re.sub(r"{\w+}", GAP, one) not in known]
    assert unused == []


def test_values_are_told_as_well_and_the_most_exact_wording_is_taken():
    chinese = Translator("zh")
    assert chinese.told("job 0007-train-00ff is running; cancel it first") == (
        "任务 0007-train-00ff 运行中；请先取消"
    )
    assert "磁盘已满" in chinese.told("the disk is full (/runs/x); free some space and resume")
    assert "/runs/x" in chinese.told("the disk is full (/runs/x); free some space and resume")
    assert chinese.told("a word of somebody's own") == "a word of somebody's own"
    assert chinese.told("") == ""
