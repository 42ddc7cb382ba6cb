from __future__ import annotations

from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from keyrig.base.errors import SettingsError
from keyrig.config.secret_references import SECRET_OCTETS_MAXIMUM, SecretPlace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class MemoryKeyring(KeyringBackend):
    priority = 1.0
    locked = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # untyped upstream
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("s3cret is in here")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(name="memory")
def fixture_memory() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    memory = MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def test_secret_of_a_file_has_no_line_end_and_no_repr(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret\n", encoding="utf-8")
    path.chmod(0o600)
    secret = SecretPlace(file="token").read(tmp_path)
    assert secret.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(secret) + str(secret)


def test_secret_that_everyone_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("s3cret", encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="everyone may read this secret; run `chmod 600"):
        SecretPlace(file="token").read(tmp_path)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"s\xe9cret", "is no text in UTF-8"),
        (b"\xff\xfea\x00b", "is no text in UTF-16"),
        (b"se\x00cret", "is a NUL within"),
        (b"x" * (SECRET_OCTETS_MAXIMUM + 1), "is too large"),
    ],
)
def test_file_without_a_secret_is_named(tmp_path: Path, octets: bytes | None, reason: str) -> None:
    path = tmp_path / "token"
    if octets is not None:
        path.write_bytes(octets)
        path.chmod(0o600)
    with pytest.raises(SettingsError, match=f"file .*token.*{reason}"):
        SecretPlace(file="token").read(tmp_path)


def test_secret_of_a_variable_is_looked_up_when_it_is_read(tmp_path: Path) -> None:
    place = SecretPlace(environment="TOKEN")
    assert place.read(tmp_path, {"TOKEN": "one"}).get_secret_value() == "one"
    assert place.read(tmp_path, {"TOKEN": "two"}).get_secret_value() == "two"
    with pytest.raises(SettingsError, match="environment variable TOKEN: is not set"):
        place.read(tmp_path, {})


def test_secret_of_the_keyring_is_that_of_service_and_user(
    tmp_path: Path, memory: MemoryKeyring
) -> None:
    memory.set_password("keyrig", "office/north", "s3cret")
    place = SecretPlace(keyring="keyrig/office/north")
    assert place.read(tmp_path).get_secret_value() == "s3cret"
    with pytest.raises(SettingsError, match="run `keyring set keyrig other`"):
        SecretPlace(keyring="keyrig/other").read(tmp_path)
    memory.locked = True
    with pytest.raises(SettingsError, match="KeyringLocked") as caught:
        place.read(tmp_path)
    assert "s3cret" not in str(caught.value)


def test_place_is_exactly_one() -> None:
    with pytest.raises(ValueError, match="name one of file, environment and keyring"):
        SecretPlace()
    with pytest.raises(ValueError, match="name one of"):
        SecretPlace(file="a", environment="B")
