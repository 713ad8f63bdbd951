"""The look: colours of both themes, of models and of maps."""

from __future__ import annotations

from typing import Any

from co2net.colours import Line, contrast, family_of, lightness, model_line, palette

__all__ = ["Line", "contrast", "family_of", "lightness", "line", "palette"]

ACCENT = {"light": "#0b6bcb", "dark": "#6cb2ff"}

TOKENS: dict[str, dict[str, str]] = {
    "light": {
        "canvas": "#eef1f4",
        "surface": "#ffffff",
        "raised": "#f6f8fa",
        "line": "#d5dbe1",
        "text": "#17202a",
        "muted": "#52606d",
        "accent": ACCENT["light"],
        "on-accent": "#ffffff",
        "accent-soft": "#dcebfb",
        "good": "#0a6e3f",
        "warn": "#8a4b00",
        "warn-soft": "#fff1dc",
        "sea": "#e3e8ee",
        "coast": "#10161c",
        "graticule": "#17202a",
        "truth": "#000000",
    },
    "dark": {
        "canvas": "#0d1217",
        "surface": "#151c23",
        "raised": "#1c252e",
        "line": "#303c48",
        "text": "#e8edf2",
        "muted": "#a3b1bf",
        "accent": ACCENT["dark"],
        "on-accent": "#08131f",
        "accent-soft": "#1b3350",
        "good": "#5fd39a",
        "warn": "#ffc46b",
        "warn-soft": "#3a2a10",
        "sea": "#2b3743",
        "coast": "#05080b",
        "graticule": "#10161c",
        "truth": "#ffffff",
    },
}
"""Colours by theme and role. Text on its surface keeps a contrast of 4.5 or more (a test)."""


def line(name: str, theme: str) -> Line:
    """Colour and dash of a model, or of the truth."""
    if name == "truth":
        return Line("truth", TOKENS[theme]["truth"], ())
    return model_line(name)


def css_variables() -> str:
    """``--c-*`` variables of both themes, switched by a class on the shell."""

    def block(theme: str) -> str:
        return "".join(f"--c-{role}:{colour};" for role, colour in TOKENS[theme].items())

    return (
        f".app{{{block('light')}color-scheme:light}}.app.dark{{{block('dark')}color-scheme:dark}}"
    )


def material_theme() -> dict[str, Any]:
    """Settings of the Material widgets in both themes."""
    fonts = (
        "Inter,'Segoe UI','Helvetica Neue',Arial,'Noto Sans','Noto Sans CJK SC','PingFang SC',"
        "'Microsoft YaHei',sans-serif"
    )

    def scheme(name: str) -> dict[str, Any]:
        token = TOKENS[name]
        return {
            "palette": {
                "primary": {"main": token["accent"]},
                "background": {"default": token["canvas"], "paper": token["surface"]},
                "text": {"primary": token["text"], "secondary": token["muted"]},
            },
            "typography": {"fontFamily": fonts, "fontSize": 13},
            "shape": {"borderRadius": 8},
        }

    return {"light": scheme("light"), "dark": scheme("dark")}
