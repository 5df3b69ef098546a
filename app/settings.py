"""Where things are kept and which model is used: COMET_* environment variables, or options.

Opens neither databases nor models; it only carries the words the user chose.
"""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL


def _default_home() -> Path:
    return user_data_path("comet-reader", appauthor=False)


class Settings(BaseSettings):
    """Each field is an environment variable (COMET_HOME, ...) and an option of the command line."""

    model_config = SettingsConfigDict(env_prefix="COMET_", env_ignore_empty=True, frozen=True)

    home: Path = Field(
        default_factory=_default_home, description="Folder for the database, models and locks."
    )
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL of the database; a SQLite file in home if absent."
    )
    model: str | None = Field(
        default=None, description="Folder or hub id of the model; the built-in one if absent."
    )
    device: str | None = Field(default=None, description="cuda, mps or cpu; the best if absent.")
    dtype: str | None = Field(
        default=None, description="bfloat16 or float32; what the device is fast at if absent."
    )

    @property
    def url(self) -> str:
        """The database's URL, the default filled in."""
        file = self.home.expanduser() / "comet-reader.db"
        default = URL.create("sqlite", database=str(file))
        return self.database_url or default.render_as_string(hide_password=False)

    @property
    def model_cache(self) -> Path:
        """Where converted models are kept."""
        return self.home.expanduser() / "models"

    @property
    def locks(self) -> Path:
        """Where the locks are kept that let one process at a time read a document."""
        return self.home.expanduser() / "locks"
