"""The project's own order: dependencies agree, arrows run one way, nothing private slips in."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"pytorch": "torch"}


def requirement(line: str) -> tuple[str, str]:
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", line).groups()
    return name.lower().replace("_", "-"), bounds


def declared() -> dict[str, str]:
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    return dict(requirement(line) for line in lines)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def test_environment_and_project_have_the_same_bounds():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    by_pip = next(e["pip"] for e in entries if isinstance(e, dict))
    names = [e for e in (*entries, *by_pip) if isinstance(e, str) and not e.startswith("-e")]
    conda = dict(requirement(e) for e in names)
    conda = {CONDA_NAMES.get(name, name): bounds for name, bounds in conda.items()}
    assert conda.pop("python") == PROJECT["requires-python"]
    conda.pop("pip")
    assert conda == declared()


def test_every_pin_lies_within_its_bounds():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, pin = line.split("==")
            pins[name.lower().replace("_", "-")] = pin
    for name, bounds in declared().items():
        assert name in pins, f"{name} is not pinned"
        for bound in bounds.split(","):
            limit = version(bound)
            pin = version(pins[name])
            assert pin >= limit if bound.startswith(">=") else pin < limit, name


LEVELS = [  # a module may import those of its own line and of the lines above
    {"errors", "assets", "colours"},
    {"grid"},
    {"source", "regions", "cluster"},
    {"schema"},
    {"observations", "stores"},
    {"background", "embeddings", "naturerun", "datasets"},
    {"windows"},
    {"resident"},
    {"models"},
    {"training"},
    {"inference", "layers"},
    {"diagnostics", "reconstruct"},
    {"evaluation", "ocean"},
    {"export"},
    {"bench", "jobs"},
    {"cli"},
]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_arrows_run_one_way():
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    for path in sorted((ROOT / "co2net").rglob("*.py")):
        room = path.relative_to(ROOT / "co2net").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in level, f"co2net/{room} has no place in the plan of the house"
        for name in imports(path):
            parts = name.split(".")
            if room != "cli":
                assert parts[0] != "dashboard", f"{path} imports the page"
            if parts[0] == "co2net" and len(parts) > 1 and parts[1] in level:
                assert level[parts[1]] <= level[room], f"{path} imports {name}"
                same = level[parts[1]] == level[room] and parts[1] != room
                assert not same or room == "errors", f"{path} imports its neighbour {name}"


def test_nothing_loads_pickles():
    for path in [*(ROOT / "co2net").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")]:
        text = path.read_text()
        assert "import pickle" not in text, path
        assert not re.search(r"torch\.load\((?![^)]*weights_only=True)", text), path
        assert "allow_pickle=True" not in text, path


@pytest.mark.parametrize("name", ["LICENSE", "CITATION.cff", "README.md", "README.zh.md"])
def test_the_papers_are_there(name):
    assert (ROOT / name).is_file()
