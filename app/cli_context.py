"""What the options before a command say, handed to the command.

Commands that other modules add get it as `context.obj`.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.settings import Settings


@dataclass(frozen=True)
class Context:
    """The settings with their options, and whether failures are shown with their tracebacks."""

    settings: Settings
    debug: bool
