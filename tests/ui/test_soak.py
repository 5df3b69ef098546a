"""The soak test can be run, and leaves nothing behind."""

from __future__ import annotations

import os
import sys

import pytest

from tests.ui.conftest import Site
from tools import soak


def test_a_short_soak(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--url", site.url, "--pid", os.getpid(), "--uploads", 2, "--questions", 3]
    monkeypatch.setattr(sys, "argv", ["soak", *map(str, options), "--paragraphs", "2"])
    before = [document.id for document in site.library.documents()]
    soak.main()
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["minutes", "uploads", "questions", "memory/MB", "threads", "files"]
    assert [line.split()[1:3] for line in lines] == [["0", "0"], ["1", "1"], ["2", "3"]]
    assert [document.id for document in site.library.documents()] == before
    assert site.library.conversations() == []
    assert site.desk.jobs("") == []
