"""Which files are meant, and what became of each."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comet_core.errors import ModelNotFound
from ingest.batch import Found, NothingToRead, Outcome, Result, find_files, ingest_all
from ingest.errors import DocumentError, MissingFile

PATHS = st.lists(st.integers(0, 20), unique=True, max_size=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.PDF", "deep/er/c.epub", "deep/d.jpg", ".hidden.txt", ".git/e.txt"):
        path = tmp_path / "books" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "books"


def names(found: Found) -> list[str]:
    return [path.name for path in found.files]


def test_a_folder_is_searched_to_its_bottom(folder: Path) -> None:
    found = find_files([folder])
    assert sorted(names(found)) == ["a.PDF", "b.txt", "c.epub"]
    assert (found.passed_over, found.errors) == (1, ())


def test_a_file_named_by_its_path_is_meant_whatever_its_format(folder: Path) -> None:
    found = find_files([folder / "deep/d.jpg", folder / ".hidden.txt"])
    assert names(found) == ["d.jpg", ".hidden.txt"]
    assert found.passed_over == 0


@pytest.mark.parametrize(
    ("pattern", "files", "passed_over"),
    [
        ("*.txt", ["b.txt"], 0),
        ("**/*", ["a.PDF", "b.txt", "c.epub"], 1),
        ("d*", ["c.epub"], 1),  # matches a folder
    ],
)
def test_a_pattern_means_what_it_matches(
    folder: Path, pattern: str, files: list[str], passed_over: int
) -> None:
    found = find_files([folder / pattern])
    assert sorted(names(found)) == files
    assert found.errors == ()
    if pattern != "**/*":  # there a folder's files are found twice, by the folder and by themselves
        assert found.passed_over == passed_over


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder: Path) -> None:
    (folder / "[draft].txt").write_text("x")
    assert names(find_files([folder / "[draft].txt"])) == ["[draft].txt"]


def test_a_file_named_twice_is_meant_once(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder / "b.txt")
    assert names(find_files([folder / "b.txt", folder / "*.txt", folder / "deep/../b.txt"])) == [
        "b.txt"
    ]


def test_folders_that_link_in_a_circle_come_to_an_end(folder: Path) -> None:
    (folder / "deep" / "circle").symlink_to(folder)
    (folder / "deep" / "again").symlink_to(folder)
    assert sorted(names(find_files([folder]))) == ["a.PDF", "b.txt", "c.epub"]
    assert sorted(names(find_files([folder / "**" / "*.epub"]))) == ["c.epub"]


def test_a_file_that_links_to_itself_is_one_file(folder: Path) -> None:
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    assert sorted(names(find_files([folder]))) == ["a.PDF", "b.txt", "c.epub", "loop.txt"]


def test_a_pattern_for_what_is_hidden_finds_it(folder: Path) -> None:
    assert names(find_files([folder / ".*.txt"])) == [".hidden.txt"]
    assert names(find_files([folder / ".g*" / "*.txt"])) == ["e.txt"]


@pytest.mark.parametrize(
    ("name", "error"),
    [("missing.txt", MissingFile), ("*.docx", MissingFile), ("deep/empty", NothingToRead)],
)
def test_paths_that_lead_nowhere_are_errors_and_the_rest_is_found(
    folder: Path, name: str, error: type[Exception]
) -> None:
    (folder / "deep" / "empty").mkdir()
    found = find_files([folder / name, folder / "b.txt"])
    assert names(found) == ["b.txt"]
    assert [type(e) for e in found.errors] == [error]
    assert found.errors[0].path == folder / name


def test_files_are_not_compared_with_one_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        (folder / f"{number}.txt").touch()
        (folder / f"{number}.jpg").touch()
    comparisons = 0
    plain = PurePath.__eq__

    def counted(self: PurePath, other: object) -> bool:
        nonlocal comparisons
        comparisons += 1
        return plain(self, other)

    monkeypatch.setattr(PurePath, "__eq__", counted)
    found = find_files([folder])
    assert (len(found.files), found.passed_over) == (103, 101)
    assert comparisons < 10 * 204


def test_a_problem_names_its_file() -> None:
    path = Path("a.txt")
    errors = (MissingFile(path), KeyError("S"), None)
    assert [Outcome(path, Result.FAILED, error=error).problem for error in errors] == [
        "a.txt does not exist; check the path.",
        "a.txt: KeyError: 'S'",
        None,
    ]


@given(files=PATHS, failing=PATHS, known=PATHS, missing=PATHS)
def test_every_file_has_its_outcome_in_order(
    files: list[int], failing: list[int], known: list[int], missing: list[int]
) -> None:
    def ingest_one(path: Path) -> tuple[str, Result]:
        if int(path.name) in failing:
            raise ValueError(path.name) if int(path.name) % 2 else DocumentError(path)
        return f"document {path.name}", Result.KNOWN if int(path.name) in known else Result.READ

    found = Found(
        tuple(Path(str(n)) for n in files),
        errors=tuple(MissingFile(Path(f"m{n}")) for n in missing),
    )
    outcomes = list(ingest_all(found, ingest_one))
    assert [o.path.name for o in outcomes] == [f"m{n}" for n in missing] + [str(n) for n in files]
    for outcome in outcomes:
        assert outcome.result is expected(outcome, failing, known)
        assert (outcome.document is None) == (outcome.error is not None)


def expected(outcome: Outcome[str], failing: list[int], known: list[int]) -> Result:
    if outcome.path.name.startswith("m") or int(outcome.path.name) in failing:
        return Result.FAILED
    return Result.KNOWN if int(outcome.path.name) in known else Result.READ


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ModelNotFound("no model")])
def test_what_is_not_about_one_file_ends_it(error: BaseException) -> None:
    def ingest_one(path: Path) -> tuple[str, Result]:
        raise error

    with pytest.raises(type(error)):
        list(ingest_all(Found((Path("a"), Path("b"))), ingest_one))
