"""The settings: one TOML file, with every key described where it is declared."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from gbcs.entity_identifier import EntityIdentifier
from gbcs.printable import printable
from keyrig.base.errors import SettingsError
from keyrig.base.outside_files import TOML_MAXIMUM_OCTETS, Unreadable, read_text
from keyrig.base.toml_files import (
    TAG,
    Concealed,
    Entity,
    Name,
    StrictModel,
    TOMLFault,
    into_model,
    parse_toml,
)
from keyrig.config.places import find_data_folder
from keyrig.config.secret_references import SecretReference

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS_FILE: Final = "keyrig.toml"
SETTINGS_VARIABLE: Final = "KEYRIG_SETTINGS"
"""The environment variable that names another settings file."""
OVERRIDE_PREFIX: Final = "KEYRIG_"
OVERRIDE_SEPARATOR: Final = "__"
_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")


def is_loopback(host: str) -> bool:
    """Return True if a host name or address is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _secure_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in {"https", "http"} or not url.hostname:
        raise ValueError("it begins with https:// and a host")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("off this machine it begins with https://")
    if url.username is not None or url.password is not None:
        raise Concealed("no name or password stands in it; use bearer_token")
    return value


def _listening(value: str) -> str:
    if not value.startswith("unix:"):
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 0xFFFF:
            raise ValueError("it is HOST:PORT, or unix:PATH")
    elif value == "unix:":
        raise ValueError("a path follows unix:")
    return value


SecureURL = Annotated[str, AfterValidator(_secure_url)]
Listening = Annotated[str, AfterValidator(_listening)]
Port = Annotated[int, Field(ge=1, le=0xFFFF)]
PathText = Annotated[str, Field(min_length=1)]


class ServeSettings(StrictModel):
    """Where `keyrig serve` listens, and what it serves."""

    listen: Annotated[
        Listening,
        Field(description="HOST:PORT, or unix:PATH. Off the loopback address TLS is demanded."),
    ] = "127.0.0.1:8463"
    rigs: Annotated[
        tuple[PathText, ...],
        Field(description="The rig files that it serves; the emulated home where there is none."),
    ] = ()
    tls_certificate: Annotated[
        PathText | None, Field(description="The server's certificate chain, PEM.")
    ] = None
    tls_key: Annotated[PathText | None, Field(description="The private key to it, PEM.")] = None
    heartbeat_s: Annotated[
        float,
        Field(gt=0, le=300, description="How often a stream of events says that it lives."),
    ] = 15.0
    body_maximum_octets: Annotated[
        int, Field(ge=1024, le=2**30, description="The largest request body.")
    ] = 1024 * 1024
    upload_maximum_octets: Annotated[
        int, Field(ge=1024, le=2**30, description="The largest uploaded document.")
    ] = 4 * 1024 * 1024
    run_due_every_s: Annotated[
        float | None,
        Field(ge=1, description="How often it carries out by itself what is due; never without."),
    ] = None

    @model_validator(mode="after")
    def _certificate_and_key(self) -> ServeSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key are given together")
        return self


class TLSClient(StrictModel):
    """TLS as a client: how the server is authenticated, and how this agent is."""

    ca_file: Annotated[
        PathText | None,
        Field(description="The authorities that may vouch for the server, PEM; the system's own."),
    ] = None
    client_certificate: Annotated[
        PathText | None, Field(description="The certificate that this agent shows, PEM.")
    ] = None
    client_key: Annotated[PathText | None, Field(description="The private key to it, PEM.")] = None

    @model_validator(mode="after")
    def _client_certificate_and_key(self) -> TLSClient:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key are given together")
        return self


class Upstream(StrictModel):
    """The settings that every upstream has."""

    since: Annotated[
        AwareDatetime | None,
        Field(description="Events before it are not told; every event is told without it."),
    ] = None


class HTTPSUpstream(Upstream, TLSClient):
    """Events to an HTTPS address, as batches of CloudEvents."""

    kind: Annotated[Literal["https"], Field(description="Over HTTPS.")]
    url: Annotated[SecureURL, Field(description="Where batches are posted to.")]
    bearer_token: Annotated[
        SecretReference | None, Field(description="The token that is shown, by reference.")
    ] = None
    batch_maximum: Annotated[
        int, Field(ge=1, le=1000, description="How many events one request carries at most.")
    ] = 100
    timeout_s: Annotated[float, Field(gt=0, le=600, description="How long a request may take.")] = (
        30.0
    )


class MQTTUpstream(Upstream, TLSClient):
    """Events to an MQTT 5 broker, with QoS 1 and a session that is kept."""

    kind: Annotated[Literal["mqtt"], Field(description="Over MQTT 5.")]
    host: Annotated[str, Field(min_length=1, description="The broker.")]
    port: Annotated[Port, Field(description="Its port.")] = 8883
    tls: Annotated[
        bool, Field(description="Whether the line is TLS; it must be, off this machine.")
    ] = True
    topic: Annotated[
        str,
        Field(
            pattern=r"^[^+#\x00/][^+#\x00]*$",
            description="The topic; the device and the event's type follow it.",
        ),
    ] = "keyrig/events"
    client_id: Annotated[
        Name | None,
        Field(description="By what the broker keeps the session; keyrig- and the ledger's id."),
    ] = None
    username: Annotated[str | None, Field(min_length=1, description="The user.")] = None
    password: Annotated[
        SecretReference | None, Field(description="The user's password, by reference.")
    ] = None
    keep_alive_s: Annotated[
        int, Field(ge=5, le=3600, description="How often the line is shown to live.")
    ] = 60
    session_expiry_s: Annotated[
        int, Field(ge=0, le=2**32 - 1, description="How long the broker keeps the session.")
    ] = 14 * 86_400
    timeout_s: Annotated[
        float, Field(gt=0, le=600, description="How long an acknowledgement may take.")
    ] = 30.0

    @model_validator(mode="after")
    def _tls_off_this_machine(self) -> MQTTUpstream:
        if not self.tls and not is_loopback(self.host):
            raise ValueError("off this machine, tls must be true")
        return self


class NDJSONUpstream(Upstream):
    """Events to a file, one CloudEvent a line."""

    kind: Annotated[Literal["ndjson"], Field(description="To a file.")]
    path: Annotated[PathText, Field(description="The file; a relative path is below KEYRIG_HOME.")]


_KINDS: Final = ("https", "mqtt", "ndjson")


def _kind_of_upstream(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"{TAG}{kind}" if kind in _KINDS else None


UpstreamSettings = Annotated[
    Annotated[HTTPSUpstream, Tag(f"{TAG}https")]
    | Annotated[MQTTUpstream, Tag(f"{TAG}mqtt")]
    | Annotated[NDJSONUpstream, Tag(f"{TAG}ndjson")],
    Discriminator(
        _kind_of_upstream,
        custom_error_type="kind",
        custom_error_message=f"it needs a kind: {', '.join(_KINDS)}",
    ),
]


class OutboxSettings(StrictModel):
    """Publishing from the outbox."""

    after_run_s: Annotated[
        float,
        Field(
            ge=0, le=3600, description="How long `keyrig run` tells upstreams of what it has done."
        ),
    ] = 15.0


class DCCBoxedSettings(StrictModel):
    """Where DCC Boxed is, and how it reaches this agent."""

    address: Annotated[str, Field(min_length=1, description="Its host name or address.")]
    duis_port: Annotated[Port, Field(description="The port of its DUIS services.")] = 8079
    smki_port: Annotated[Port, Field(description="The port of its SMKI services.")] = 8083
    bundle_port: Annotated[Port, Field(description="The port of its key bundle.")] = 80
    tls: Annotated[
        bool, Field(description="Whether its DUIS and SMKI services stand behind TLS.")
    ] = False
    ca_file: Annotated[
        PathText | None,
        Field(description="The authorities that may vouch for it, PEM; the system's own."),
    ] = None
    headers: dict[str, SecretReference] = Field(
        default_factory=dict,
        description="Further request headers that a proxy wants, each by reference.",
    )
    smki_api_key: Annotated[
        SecretReference | None, Field(description="The key of its SMKI services, by reference.")
    ] = None
    signer: Annotated[
        Entity | None,
        Field(description="Who signs DUIS requests, where it is not the party that acts."),
    ] = None
    response_certificates: Annotated[
        PathText | None,
        Field(
            description="A folder of certificates that responses may be signed with, PEM; those "
            "in the key store that sign the DCC's XML, and the access control broker's."
        ),
    ] = None
    unverified_responses: Annotated[
        Literal["refuse", "accept"],
        Field(
            description="What becomes of responses whose own signature cannot be verified: they "
            "are refused, or what they say rests on the line alone."
        ),
    ] = "refuse"
    receive: Annotated[
        Listening, Field(description="HOST:PORT on which its responses are received.")
    ] = "127.0.0.1:8466"
    receive_path: Annotated[
        str, Field(pattern=r"^/", description="The path that it posts responses to.")
    ] = "/smartdcc/duis"
    request_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="How long a request may take.")
    ] = 10.0
    response_timeout_s: Annotated[
        float, Field(gt=0, le=7 * 86_400, description="How long a device's answer may take.")
    ] = 120.0


def _certificate_named(party: str, serial: str) -> tuple[str, str]:
    digits = serial.replace(":", "").lower()
    if not _SERIAL.fullmatch(digits):
        # pydantic takes a ValueError, and nothing else, for a fault of the value.
        raise ValueError(
            f"{party}: a serial number is hexadecimal, as `keyrig pki show --json` gives it"
        )
    return str(EntityIdentifier.parse(party)), f"{int(digits, 16):x}"


class DUISSettings(StrictModel):
    """How DUIS documents are signed."""

    signing_certificates: dict[str, str] = Field(
        default_factory=dict,
        description="For a party without an XML-signing key, or with several: the serial number "
        "of the certificate by whose key its DUIS documents are signed, hexadecimal, by Entity "
        "Identifier.",
    )

    @field_validator("signing_certificates")
    @classmethod
    def _read_certificates(cls, value: dict[str, str]) -> dict[str, str]:
        return dict(_certificate_named(*each) for each in value.items())

    @property
    def serials(self) -> dict[EntityIdentifier, int]:
        """The serial number of the certificate that is named for each party."""
        return {
            EntityIdentifier.parse(party): int(serial, 16)
            for party, serial in self.signing_certificates.items()
        }


class DeliverSettings(StrictModel):
    """Local delivery of commands that other parties made, `keyrig deliver`."""

    valid_for_hours: Annotated[
        float,
        Field(
            gt=0,
            le=24 * 366,
            description="How long a command may be sent: from the time of the DUIS response that "
            "it came in, or else from when it was handed over.",
        ),
    ] = 7 * 24.0


class Settings(StrictModel):
    """All settings; every key may be left out."""

    serve: ServeSettings = Field(
        default_factory=ServeSettings, description="The API, `keyrig serve`."
    )
    deliver: DeliverSettings = Field(
        default_factory=DeliverSettings, description="Field mode, `keyrig deliver`."
    )
    duis: DUISSettings = Field(default_factory=DUISSettings, description="DUIS documents.")
    upstream: dict[Name, UpstreamSettings] = Field(
        default_factory=dict,
        description="Whom events are told: one table for each, [upstream.NAME].",
    )
    outbox: OutboxSettings = Field(
        default_factory=OutboxSettings, description="The outbox, `keyrig outbox`."
    )
    dcc_boxed: Annotated[
        DCCBoxedSettings | None, Field(description="DCC Boxed, where there is one.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRead:
    """The settings with their origins.

    Args:
        settings: The settings in force.
        source: The file; it need not exist.
        text: Its content.
        overrides: The location that each environment variable overrides.
    """

    settings: Settings
    source: Path
    text: str = field(repr=False)
    overrides: Mapping[tuple[str, ...], str]


def settings_path(environment: Mapping[str, str] | None = None) -> Path:
    """Return the settings file; it need not exist."""
    data_folder = find_data_folder(environment)
    named = (os.environ if environment is None else environment).get(SETTINGS_VARIABLE)
    return data_folder / Path(named).expanduser() if named else data_folder / SETTINGS_FILE


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings, with the overrides of the environment.

    Args:
        environment: The variables; None takes the process's own.

    Raises:
        SettingsError: Names the file and line, or the variable, and what to write instead.
    """
    return read_settings(environment).settings


def read_settings(environment: Mapping[str, str] | None = None) -> SettingsRead:
    """Read the settings with their origins.

    Raises:
        SettingsError: As `load_settings`.
    """
    variables = os.environ if environment is None else environment
    path = settings_path(variables)
    text = _text(path, is_named=SETTINGS_VARIABLE in variables)
    overrides: dict[tuple[str, ...], str] = {}
    try:
        values = parse_toml(text)
        for name in sorted(variables):
            if name.startswith(OVERRIDE_PREFIX) and OVERRIDE_SEPARATOR in name:
                overrides[_override(values, name, variables[name])] = name
        settings = into_model(text, values, Settings)
    except TOMLFault as fault:
        raise SettingsError(_where(path, fault, overrides), fault.reason, fault.mend) from None
    return SettingsRead(settings=settings, source=path, text=text, overrides=overrides)


def _text(path: Path, *, is_named: bool) -> str:
    try:
        return read_text(path, maximum=TOML_MAXIMUM_OCTETS)
    except Unreadable as error:
        if error.is_missing and not is_named:
            return ""
        if error.is_missing:
            raise SettingsError(
                str(path), "there is no such file", f"correct {SETTINGS_VARIABLE}"
            ) from None
        raise SettingsError(str(path), str(error), error.mend) from None


def _where(path: Path, fault: TOMLFault, overrides: Mapping[tuple[str, ...], str]) -> str:
    """Return the variable that a fault comes from, or the line of the file."""
    for location, name in overrides.items():
        if location == fault.location[: len(location)] or fault.location == location[:-1]:
            return f"environment variable {name}"
    return f"{path}, line {fault.line}" if fault.line else str(path)


def _override(values: dict[str, Any], name: str, text: str) -> tuple[str, ...]:
    """Set the value that a variable's name refers to, and return its location.

    `KEYRIG_UPSTREAM__HEAD_OFFICE__URL` is `upstream.head-office.url` where such a table stands.
    """
    parts = name.removeprefix(OVERRIDE_PREFIX).lower().split(OVERRIDE_SEPARATOR)
    location: list[str] = []
    table = values
    for part in parts[:-1]:
        key = _key(table, part)
        location.append(key)
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise SettingsError(
                f"environment variable {name}",
                f"'{printable('.'.join(location))}' is no table",
                "see `keyrig settings`",
            )
        table = inner
    key = _key(table, parts[-1])
    table[key] = _value(text)
    return (*location, key)


def _key(table: Mapping[str, Any], part: str) -> str:
    """Return the key of a table that a part of a variable's name means."""
    return next((key for key in table if key.lower().replace("-", "_") == part), part)


def _value(text: str) -> Any:
    """Parse a variable's text as a TOML value; text that is none is returned unchanged."""
    try:
        parsed = parse_toml(f"value = {text}")
    except TOMLFault:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text
