"""Settings: defaults, environment, options."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.database import Database
from app.settings import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"COMET_{field.upper()}", raising=False)


def test_defaults_need_nothing() -> None:
    settings = Settings()
    assert settings.home.name == "comet-reader"
    assert settings.url == f"sqlite:///{settings.home / 'comet-reader.db'}"
    assert (settings.model, settings.device, settings.dtype) == (None, None, None)


def test_the_environment_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_HOME", "/data")
    monkeypatch.setenv("COMET_MODEL", "models/mine")
    monkeypatch.setenv("COMET_DEVICE", "cpu")
    monkeypatch.setenv("COMET_DTYPE", "")
    settings = Settings(device="cuda")
    assert settings.home == Path("/data")
    assert settings.url == "sqlite:////data/comet-reader.db"
    assert settings.model_cache == Path("/data/models")
    assert (settings.model, settings.device, settings.dtype) == ("models/mine", "cuda", None)


def test_the_database_is_in_the_home_whatever_that_is_called(tmp_path: Path) -> None:
    home = tmp_path / "what? a #home, 100%41 +mine & ü"
    Database(Settings(home=home).url).close()
    assert (home / "comet-reader.db").is_file()
    assert list(tmp_path.iterdir()) == [home]


def test_a_database_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_DATABASE_URL", "postgresql://host/books")
    assert Settings().url == "postgresql://host/books"
