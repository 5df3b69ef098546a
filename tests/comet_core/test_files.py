"""Directories that appear whole or not at all."""

import os
import time
from pathlib import Path

import pytest

from comet_core.errors import CannotWrite
from comet_core.files import ABANDONED_S, whole_directory


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_directory(tmp_path / "a") as building:
        (building / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_directory(tmp_path / "a") as building:
        (building / "whole").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "whole"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is full")
def test_a_disk_that_runs_full_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotWrite, match="No space left"),
        whole_directory(tmp_path / "a"),
        Path("/dev/full").open("w") as file,
    ):
        file.write("x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_in_time(tmp_path: Path) -> None:
    old, new = tmp_path / ".building-old", tmp_path / ".building-new"
    for left in (old, new):
        left.mkdir()
        (left / "half").touch()
    long_ago = time.time() - ABANDONED_S - 60
    os.utime(old, (long_ago, long_ago))
    with whole_directory(tmp_path / "a"):
        pass
    assert not old.exists() and new.exists()
