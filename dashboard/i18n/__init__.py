"""Every string of the page, in English and Simplified Chinese.

What the library says (`co2net.errors.UserError`, progress and ends of jobs) is written in English,
also into the files of a job, which visitors of both languages read. Where it is shown it is
told in the visitor's language (`Translator.told`): ``told.zh.yml`` has the Chinese beside each
English wording, with the values left open.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from dashboard.theme import family_of

LANGUAGES = {"en": "English", "zh": "中文"}


@cache
def catalogue(language: str) -> dict[str, str]:
    """All strings of a language by dotted key."""
    path = Path(__file__).with_name(f"{language}.yml")
    return dict(_flatten(yaml.safe_load(path.read_text(encoding="utf-8"))))


@cache
def told(language: str) -> dict[str, str]:
    """Wordings of the library and what they are in a language; none where that is English."""
    path = Path(__file__).with_name(f"told.{language}.yml")
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


@cache
def _patterns(language: str) -> list[tuple[re.Pattern[str], str]]:
    """Wordings as patterns, those with most words of their own first."""
    known = sorted(told(language), key=lambda text: -len(re.sub(r"{\w+}", "", text)))
    return [
        (
            re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(text)), re.DOTALL),
            told(language)[text],
        )
        for text in known
    ]


@lru_cache(4096)
def _told(language: str, text: str) -> str:
    for pattern, wording in _patterns(language):
        if found := pattern.fullmatch(text):
            values = {name: _told(language, value) for name, value in found.groupdict().items()}
            return wording.format(**values)
    return text


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            found += _flatten(value, name + ".")
        else:
            found.append((name, str(value)))
    return found


class Translator:
    """Look strings up in one language.

    >>> Translator("en")("bar.play")
    'Play'
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._strings = catalogue(language)

    def __call__(self, key: str, **values: Any) -> str:
        """The string of a key, with ``{names}`` filled in."""
        text = self._strings[key]
        return text.format(**values) if values else text

    def or_else(self, key: str, default: str) -> str:
        """The string of a key, or a default where the program has none (names in the data)."""
        return self._strings.get(key, default)

    def told(self, text: str) -> str:
        """A line of the library in this language; as it is where it is not known."""
        return _told(self.language, text)

    def model(self, name: str, *, short: bool = False) -> str:
        """What a model is called: ``vit-absolute`` is ``ViT (absolute)``."""
        family, variant = family_of(name)
        label = self._strings.get(f"model.{family}", family)
        if short:
            label = self._strings.get(f"short.{family}", label)
        return f"{label} ({self.or_else(f'variant.{variant}', variant)})" if variant else label

    def section(self, prefix: str) -> dict[str, str]:
        """All strings below a key, for a component that runs in the browser."""
        start = prefix + "."
        return {k[len(start) :]: v for k, v in self._strings.items() if k.startswith(start)}
