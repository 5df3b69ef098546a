"""HTML of what is shown, from the templates beside this file; every value in it is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ui import text

_FOLDER = Path(__file__).parent
_environment = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """The HTML of a template; what is in the values is text, whatever it looks like."""
    return _environment.get_template(template).render(text=text, **values)


def static(name: str) -> str:
    """The content of a style sheet or script of ours."""
    return (_FOLDER / "static" / name).read_text(encoding="utf-8")
