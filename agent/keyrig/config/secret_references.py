"""Secrets of the settings: references to where they are kept, never the secrets themselves."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from keyrig.base.errors import SettingsError
from keyrig.base.outside_files import Unreadable, text_of
from keyrig.base.toml_files import Concealed, StrictModel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRET_OCTETS_MAXIMUM: Final = 64 * 1024
"""A larger file is no secret, but another file named by mistake."""


class SecretPlace(StrictModel):
    """The place of a secret: exactly one of the three."""

    file: Annotated[
        str | None,
        Field(
            min_length=1,
            description="A file that holds it and nothing else; not readable by "
            "everyone. A relative path is below KEYRIG_HOME.",
        ),
    ] = None
    environment: Annotated[
        str | None, Field(min_length=1, description="The environment variable that holds it.")
    ] = None
    keyring: Annotated[
        str | None,
        Field(
            pattern=r"^[^/]+/.+$",
            description="SERVICE/USER in the system keyring: `keyring set SERVICE USER`.",
        ),
    ] = None

    @model_validator(mode="after")
    def _one_place(self) -> SecretPlace:
        if sum(place is not None for place in (self.file, self.environment, self.keyring)) != 1:
            raise ValueError("name one of file, environment and keyring")
        return self

    def __str__(self) -> str:
        """Name the place where the secret is kept."""
        if self.file is not None:
            return f"file {self.file}"
        if self.environment is not None:
            return f"environment variable {self.environment}"
        return f"system keyring {self.keyring}"

    def read(self, data_folder: Path, environment: Mapping[str, str] | None = None) -> SecretStr:
        """Read the secret, without line ends around it.

        Args:
            data_folder: The folder that a relative path starts from.
            environment: The variables; None takes the process's own.

        Raises:
            SettingsError: It is not there, is empty, or everyone may read it.
        """
        if self.file is not None:
            secret = _from_file(data_folder / self.file)
        elif self.environment is not None:
            variables = os.environ if environment is None else environment
            if self.environment not in variables:
                raise SettingsError(str(self), "is not set", "set it where keyrig is started")
            secret = variables[self.environment]
        else:
            secret = self._from_keyring()
        secret = secret.strip("\r\n")
        if not secret:
            raise SettingsError(str(self), "is empty", "put the secret there")
        return SecretStr(secret)

    def _from_keyring(self) -> str:
        assert self.keyring is not None
        # keyring loads the desktop's backends, which is slow and seldom needed.
        import keyring  # noqa: PLC0415 - slow to load
        from keyring.errors import KeyringError  # noqa: PLC0415 - of the same package

        service, user = self.keyring.split("/", 1)
        try:
            secret = keyring.get_password(service, user)
        except KeyringError as error:
            raise SettingsError(
                str(self),
                f"the keyring does not give it: {type(error).__name__}",
                "unlock it, or keep the secret in a file",
            ) from None
        if secret is None:
            raise SettingsError(
                str(self), "holds no such secret", f"run `keyring set {service} {user}`"
            )
        return secret


def _literal_is_refused(value: Any) -> Any:
    if isinstance(value, str):
        raise Concealed(
            'a secret is never written here; name where it is kept, such as { file = "secret" }, '
            '{ environment = "NAME" } or { keyring = "SERVICE/USER" }'
        )
    return value


SecretReference = Annotated[SecretPlace, BeforeValidator(_literal_is_refused)]


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                raise SettingsError(
                    f"file {path}", "everyone may read this secret", f"run `chmod 600 {path}`"
                )
            octets = file.read(SECRET_OCTETS_MAXIMUM + 1)
    except OSError as error:
        raise SettingsError(
            f"file {path}", f"cannot be read: {error.strerror}", "name the secret's file"
        ) from None
    if len(octets) > SECRET_OCTETS_MAXIMUM:
        raise SettingsError(f"file {path}", "is too large", "name the secret's file")
    try:
        return text_of(octets)
    except Unreadable as error:
        raise SettingsError(f"file {path}", f"is {error}", error.mend) from None
