"""Users: hashes only, the same work for unknown names, and names that mean one person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize

import argon2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from app.database import Database
from app.tables import User
from app.users import BadUserName, UnknownUser, UserExists, Users, WeakPassword

PASSWORD = "correct horse"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    yield database
    database.close()


@pytest.fixture
def users(database: Database) -> Users:
    return Users(database)


def stored(database: Database, name: str) -> str:
    with database.reading() as session:
        user = session.get(User, name)
    assert user is not None
    return user.password_hash


def test_a_user_logs_in_with_their_password_only(users: Users, database: Database) -> None:
    users.add("ada", PASSWORD)
    users.add("bob", "another horse")
    assert users.names() == ["ada", "bob"]
    assert users.verify("ada", PASSWORD)
    for name, password in (
        ("ada", "another horse"),
        ("ada", ""),
        ("ada", PASSWORD + " "),
        ("ada", PASSWORD.upper()),
        ("bob", PASSWORD),
        ("Ada", PASSWORD),
        ("ada ", PASSWORD),
        ("ada\0", PASSWORD),
        ("", PASSWORD),
        ("eve", PASSWORD),
        ("\ud800", "\ud800" * 9),
        ("x" * 10_000, "x" * 1_000_000),
    ):
        assert not users.verify(name, password)
    assert Users(database).verify("ada", PASSWORD)


def test_hashes_are_argon2id_and_salted(users: Users, database: Database) -> None:
    users.add("ada", PASSWORD)
    users.add("bob", PASSWORD)
    hashes = {stored(database, name) for name in ("ada", "bob")}
    assert len(hashes) == 2
    for password_hash in hashes:
        assert argon2.extract_parameters(password_hash).type is argon2.Type.ID
        assert argon2.PasswordHasher().verify(password_hash, PASSWORD)


def test_an_unknown_name_takes_the_work_of_a_known_one(users: Users, database: Database) -> None:
    users.add("ada", PASSWORD)
    known = argon2.extract_parameters(stored(database, "ada"))
    assert argon2.extract_parameters(users._nobody) == known
    with pytest.raises(argon2.exceptions.VerifyMismatchError):  # it was computed to the end
        argon2.PasswordHasher().verify(users._nobody, PASSWORD)


def test_a_hash_of_before_becomes_one_of_now(users: Users, database: Database) -> None:
    users.add("ada", PASSWORD)
    now = argon2.extract_parameters(stored(database, "ada"))
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64).hash(PASSWORD)
    with database.writing() as session:
        session.execute(update(User).values(password_hash=weak))
    assert not users.verify("ada", "wrong horse")
    assert stored(database, "ada") == weak
    assert users.verify("ada", PASSWORD)
    assert argon2.extract_parameters(stored(database, "ada")) == now
    assert users.verify("ada", PASSWORD)


def test_a_letter_is_the_same_from_every_keyboard(users: Users) -> None:
    users.add("zoe", "cafe\u0301 au lait")
    assert users.verify("zoe", "caf\u00e9 au lait")


def test_a_password_is_changed(users: Users) -> None:
    users.add("ada", PASSWORD)
    users.set_password("ada", "another horse")
    assert not users.verify("ada", PASSWORD)
    assert users.verify("ada", "another horse")


def test_who_is_removed_cannot_log_in(users: Users) -> None:
    users.add("ada", PASSWORD)
    users.remove("ada")
    assert not users.verify("ada", PASSWORD)
    for use in (lambda: users.remove("ada"), lambda: users.set_password("ada", PASSWORD)):
        with pytest.raises(UnknownUser, match='no user "ada"'):
            use()
    users.add("ada", "another horse")


@pytest.mark.parametrize(
    "name",
    ["", "Ada", "a b", ".ada", "a/b", "a\n", "ada\0", "zoé", "x" * 65, "<b>", "\ud800", "../ada"],
)
def test_bad_names_are_refused(users: Users, name: str) -> None:
    with pytest.raises(BadUserName, match="small letters"):
        users.add(name, PASSWORD)
    assert users.names() == []


@pytest.mark.parametrize("password", ["", "1234567", "ada.lovelace", "Ada.Lovelace", "x" * 1001])
def test_weak_passwords_are_refused(users: Users, password: str) -> None:
    with pytest.raises(WeakPassword, match="at least 8"):
        users.add("ada.lovelace", password)
    assert users.names() == []
    users.add("ada.lovelace", PASSWORD)
    with pytest.raises(WeakPassword):
        users.set_password("ada.lovelace", password)
    assert users.verify("ada.lovelace", PASSWORD)


def test_a_name_is_given_once(users: Users) -> None:
    users.add("ada", PASSWORD)
    with pytest.raises(UserExists, match='a user "ada" already'):
        users.add("ada", "another horse")
    assert users.verify("ada", PASSWORD)


@pytest.fixture(scope="module")
def shared_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('users') / 'a.db'}")
    users = Users(database)
    users.add("ada", PASSWORD)
    yield users
    database.close()


@settings(max_examples=25)
@given(password=st.text(st.characters(), min_size=8, max_size=40), other=st.text(max_size=40))
def test_any_text_is_a_password_and_no_other_one(
    shared_users: Users, password: str, other: str
) -> None:
    shared_users.set_password("ada", password)
    assert shared_users.verify("ada", password)
    same = normalize("NFC", password) == normalize("NFC", other)
    assert shared_users.verify("ada", other) == same
