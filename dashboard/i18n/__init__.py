"""Every string of the page, in English and Simplified Chinese."""

from __future__ import annotations

from functools import cache
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
