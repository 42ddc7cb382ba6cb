"""Rig files: devices, the links to them, and the parties responsible for them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import DeviceType
from keyrig.base.errors import RigFileInvalid, SettingsError
from keyrig.base.installed_emulation import installed_emulation
from keyrig.base.outside_files import TOML_MAXIMUM_OCTETS, Unreadable, read_text
from keyrig.base.toml_files import (
    TAG,
    Concealed,
    Entity,
    Misplaced,
    Name,
    StrictModel,
    TOMLFault,
    read_toml,
)
from keyrig.config.port_urls import require_port_url
from keyrig.config.secret_references import SecretReference
from keyrig.domain.device_facts import Fuel
from keyrig.domain.known_facts import FactName, plausible_commissioning
from keyrig.domain.smi_status import SMIStatus
from keyrig.duties.rules import Actor

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

EMULATED: Final = "emulated:"
"""The URL of a device that keyrig emulates itself."""
DEFAULT_TIMEOUT_S: Final = 30.0
DEFAULT_BAUD: Final = 9600
EMULATED_HOME: Final = "emulated-home.toml"
NO_RIG_FILE: Final = "no rig file is named, so the emulated home is meant"
_FUELS: Final = {
    DeviceType.CHF: frozenset(Fuel),
    DeviceType.GPF: frozenset({Fuel.GAS}),
    DeviceType.ESME: frozenset({Fuel.ELECTRICITY}),
    DeviceType.GSME: frozenset({Fuel.GAS}),
    DeviceType.HCALCS: frozenset({Fuel.ELECTRICITY}),
    DeviceType.PPMID: frozenset({Fuel.ELECTRICITY}),
}
"""Which fuel's parties are responsible for a device, where the rig file does not say."""


def _utc(value: datetime | date) -> datetime | date:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs its zone; write Z for UTC")
        value = value.astimezone(UTC)
    return plausible_commissioning(value)


class HDLCAddresses(StrictModel):
    """HDLC addresses: of this end, and of the device."""

    client: Annotated[int, Field(ge=1, le=0x7F)] = 0x10
    server: Annotated[int, Field(ge=1, le=0x3FFF)] = 1


class LineSettings(StrictModel):
    """How one device is reached over a line of its own."""

    url: Annotated[str, Field(min_length=1), AfterValidator(require_port_url)]
    framing: Literal["hdlc", "gfi"]
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = DEFAULT_BAUD
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = DEFAULT_TIMEOUT_S
    hdlc: HDLCAddresses = Field(default_factory=HDLCAddresses)


def _link_key(install_code: str) -> bytes:
    """Return the key that an install code gives.

    Raises:
        LocalProtocolError: It is none.
        ValueError: It is not written in hexadecimal digits.
    """
    # Its hash loads ciphers for some 20 ms, which rigs without a radio are spared.
    from zse.install_code import link_key_of  # noqa: PLC0415 - measured: 20 ms of each start

    return link_key_of(bytes.fromhex(install_code))


def _install_code(value: str) -> str:
    try:
        _link_key(value)
    except LocalProtocolError as error:
        raise Concealed(str(error)) from None
    except ValueError:
        raise Concealed("an install code is written in hexadecimal digits") from None
    return value


InstallCode = Annotated[str, AfterValidator(_install_code)]


class ZigBeeSettings(StrictModel):
    """How one device is reached over a radio of the rig."""

    zigbee: Name
    install_code: Annotated[InstallCode | None, Field(repr=False)] = None
    sleeps: bool | None = None
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = DEFAULT_TIMEOUT_S
    join_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    wakes_within_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = 2 * 3600.0

    @property
    def link_key(self) -> bytes:
        """The key that the install code yields; empty where the hub lets the device in itself."""
        return _link_key(self.install_code) if self.install_code else b""


class ServiceSettings(StrictModel):
    """How one device is reached through the DCC, by service requests."""

    service: Literal["dcc-boxed"]
    timeout_s: Annotated[float, Field(gt=0, le=7 * 86_400)] | None = None
    mpxn: Annotated[str, Field(pattern=r"^[0-9]{1,13}$")] | None = None


_KEYS_OF_LINKS: Final = (("zigbee", ZigBeeSettings), ("service", ServiceSettings))


def _kind_of_link(value: Any) -> str:
    for key, settings in _KEYS_OF_LINKS:
        if isinstance(value, settings) or (isinstance(value, dict) and key in value):
            return f"{TAG}{key}"
    return f"{TAG}line"


LinkSettings = Annotated[
    Annotated[LineSettings, Tag(f"{TAG}line")]
    | Annotated[ZigBeeSettings, Tag(f"{TAG}zigbee")]
    | Annotated[ServiceSettings, Tag(f"{TAG}service")],
    Discriminator(_kind_of_link),
]


class EmulatedAir(StrictModel):
    """The conditions on the air around an emulated radio."""

    ezsp: Literal[8, 13] = 13
    smart_energy: bool = True
    seed: int = 0
    bit_rate: Annotated[int, Field(ge=1000)] | None = 250_000
    loss: Annotated[float, Field(ge=0, lt=1)] = 0.0
    duplication: Annotated[float, Field(ge=0, le=1)] = 0.0
    delay_s: Annotated[float, Field(ge=0, le=5)] = 0.0
    wake_interval_s: Annotated[float, Field(ge=0.5, le=86_400)] = 1800.0
    out_of_range: tuple[Entity, ...] = ()
    faults: tuple[str, ...] = ()


class RadioSettings(StrictModel):
    """One ZigBee radio of the rig."""

    url: Annotated[str, Field(min_length=1)]
    role: Literal["hub", "handheld"] = "hub"
    hub: Entity | None = None
    install_code: Annotated[InstallCode | None, Field(repr=False)] = None
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 115_200
    flow_control: Literal["hardware", "software"] | None = None
    channel: Annotated[int, Field(ge=11, le=26)] = 15
    emulated: EmulatedAir = Field(default_factory=EmulatedAir)

    @model_validator(mode="after")
    def _handheld_knows_its_hub(self) -> RadioSettings:
        if self.role == "handheld" and (self.hub is None or self.install_code is None):
            raise ValueError(
                "a handheld terminal needs hub (the GPF Entity Identifier printed on it) and its "
                "own install_code"
            )
        return self

    @property
    def is_emulated(self) -> bool:
        """True if keyrig emulates the radio, its air and the devices there."""
        return self.url == EMULATED


class RigDevice(StrictModel):
    """One device of the rig, and the facts that the file states of it."""

    entity_id: Entity
    type: DeviceType
    link: LinkSettings
    commissioned_at: Annotated[datetime | date, AfterValidator(_utc)] | None = None
    smi_status: SMIStatus = SMIStatus.COMMISSIONED
    replaced: bool = False
    decommissioned: bool = False
    organisation_certificate_replaced_by_dcc_during_commissioning: bool = False
    recovery_checked_after_receipt_by: Entity | Literal["dcc"] | None = None
    lead_supplier: Entity | None = None
    network_operator: Entity | None = None
    faults: tuple[str, ...] = ()

    @property
    def sleeps(self) -> bool:
        """True if it sleeps on the network, as a GSME does unless the file says otherwise."""
        sleeps = getattr(self.link, "sleeps", None)
        return self.type is DeviceType.GSME if sleeps is None else bool(sleeps)


class Responsible(StrictModel):
    """The parties responsible for one fuel of the premises."""

    supplier: Entity
    network_operator: Entity | None = None


class Home(StrictModel):
    """The parties responsible for each fuel of the premises."""

    electricity: Responsible | None = None
    gas: Responsible | None = None

    def of(self, fuel: Fuel) -> Responsible | None:
        """Return the parties responsible for a fuel."""
        return self.electricity if fuel is Fuel.ELECTRICITY else self.gas


class DCCParties(StrictModel):
    """The DCC's organisations; by default those of the test PKI."""

    access_control_broker: Entity = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
    transitional_cos: Entity = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-04")
    recovery: Entity = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-01")
    wan_provider: Entity = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-07")


class TokenSettings(StrictModel):
    """A PKCS#11 token that holds private keys and perhaps certificates."""

    library: Annotated[str, Field(min_length=1)]
    token: Annotated[str, Field(min_length=1)]
    serial: Annotated[str, Field(min_length=1)] | None = None
    pin: SecretReference


class PKISettings(StrictModel):
    """The places of keys and certificates; relative paths are below KEYRIG_HOME."""

    keystore: Annotated[str, Field(min_length=1)] = "pki"
    token: tuple[TokenSettings, ...] = ()
    recovery_certificate: str | None = None


class CertificationSettings(StrictModel):
    """The authority that certifies the keys that devices make.

    `test` is the key store's own issuing key, which rigs of real devices do not have; `by-hand`
    writes requests to `folder`, by default requests/<rig name> below KEYRIG_HOME; `command` runs
    a program.
    """

    by: Literal["test", "by-hand", "command"]
    folder: Annotated[str, Field(min_length=1)] | None = None
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=100)] = ()
    timeout_s: Annotated[float, Field(gt=0, le=3600, strict=True)] = 60.0

    @model_validator(mode="after")
    def _fits(self) -> CertificationSettings:
        if (self.by == "command") != bool(self.command):
            raise ValueError('command, the program and its arguments, goes with by = "command"')
        if self.folder is not None and self.by != "by-hand":
            raise ValueError('folder goes with by = "by-hand"')
        if "timeout_s" in self.model_fields_set and self.by != "command":
            raise ValueError('timeout_s goes with by = "command"')
        return self


class RuleSettings(StrictModel):
    """The rule set; a relative path is below KEYRIG_HOME, the default is the built-in one."""

    file: Annotated[str, Field(min_length=1)] | None = None
    readings: dict[str, str | int] = Field(default_factory=dict)


class RigSettings(StrictModel):
    """The rig itself."""

    name: Name
    parties: tuple[Actor, ...] = tuple(Actor)


class Rig(StrictModel):
    """A rig: its devices, in the order of the file, and the parties around them."""

    rig: RigSettings
    pki: PKISettings = Field(default_factory=PKISettings)
    certification: CertificationSettings | None = None
    dcc: DCCParties = Field(default_factory=DCCParties)
    home: Home = Field(default_factory=Home)
    rules: RuleSettings = Field(default_factory=RuleSettings)
    radio: dict[Name, RadioSettings] = Field(default_factory=dict)
    device: Annotated[tuple[RigDevice, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _devices_differ(self) -> Rig:
        seen: set[EntityIdentifier] = set()
        ports = {radio.url: f"radio {name}" for name, radio in self.radio.items()}
        for index, device in enumerate(self.device):
            at = ("device", index)
            if device.entity_id in seen:
                raise Misplaced((*at, "entity_id"), f"device {device.entity_id} stands twice")
            seen.add(device.entity_id)
            link = device.link
            if isinstance(link, ZigBeeSettings):
                if link.zigbee not in self.radio:
                    raise Misplaced(
                        (*at, "link", "zigbee"), f"no [radio.{link.zigbee}] in this file"
                    )
                if self.radio[link.zigbee].role == "hub" and link.install_code is None:
                    raise Misplaced((*at, "link"), "'install_code' is missing")
            elif isinstance(link, ServiceSettings):
                self._service_is_of_a_user(device, at)
            elif link.url != EMULATED:
                if link.url in ports:
                    raise Misplaced(
                        (*at, "link", "url"),
                        f"{ports[link.url]} is on {link.url} too; a line carries one",
                    )
                ports[link.url] = f"device {device.entity_id}"
            if device.faults and not self.is_emulated(device):
                raise Misplaced((*at, "faults"), "faults are for emulated devices")
        return self

    def _service_is_of_a_user(self, device: RigDevice, at: tuple[str | int, ...]) -> None:
        """Refuse a link by service requests to a device whose duties are the DCC's own.

        A hub's duties are the DCC's, and no User has a request for any of them.
        """
        if device.type is DeviceType.CHF and Actor.DCC in self.rig.parties:
            raise Misplaced(
                (*at, "link", "service"),
                "a hub's duties are the DCC's own, for which no User has a service request; "
                "leave 'dcc' out of [rig] parties, or reach the hub by a line",
            )

    def is_emulated(self, device: RigDevice) -> bool:
        """Return True if keyrig emulates a device."""
        link = device.link
        if isinstance(link, ZigBeeSettings):
            return self.radio[link.zigbee].is_emulated
        return isinstance(link, LineSettings) and link.url == EMULATED

    @property
    def certified_by(self) -> CertificationSettings | None:
        """The authority that certifies devices' keys: as the file says, or the test authority.

        The latter only where keyrig emulates every device.
        """
        if self.certification is None and all(self.is_emulated(each) for each in self.device):
            return CertificationSettings(by="test")
        return self.certification

    @property
    def has_service_devices(self) -> bool:
        """True if any of its devices is reached by service requests."""
        return any(isinstance(device.link, ServiceSettings) for device in self.device)

    @property
    def name(self) -> str:
        """The rig's name."""
        return self.rig.name

    @property
    def has_emulated_devices(self) -> bool:
        """True if keyrig emulates any of its devices."""
        return any(self.is_emulated(device) for device in self.device)

    def require(self, entities: Collection[EntityIdentifier]) -> None:
        """Check that devices are on the rig.

        Raises:
            SettingsError: One is not.
        """
        known = {device.entity_id for device in self.device}
        for entity in entities:
            if entity not in known:
                raise SettingsError(
                    f"device {entity}", f"not on the rig {self.name}", "name one of its devices"
                )

    def with_urls(
        self,
        urls: Mapping[EntityIdentifier, str],
        commissioned_at: datetime,
        radio_urls: Mapping[str, str] | None = None,
    ) -> str:
        """Return the text of this rig's file with other URLs for its emulated devices.

        Args:
            urls: Where each emulated device on a line of its own is reached.
            commissioned_at: When they were commissioned, where the file does not say.
            radio_urls: Where each emulated radio is reached, by name.
        """
        values = self.model_dump(mode="json", exclude_defaults=True)
        if self.certified_by is not None:
            # Reached by their URLs, emulated devices are like any others.
            values["certification"] = self.certified_by.model_dump(
                mode="json", exclude_defaults=True
            )
        radios = radio_urls or {}
        for name, radio in values.get("radio", {}).items():
            radio["url"] = radios.get(name, radio["url"])
            radio.pop("emulated", None)
        for device in values["device"]:
            url = urls.get(EntityIdentifier.parse(device["entity_id"]))
            if url is not None:
                device["link"]["url"] = url
            if url is not None or device["link"].get("zigbee") in radios:
                device.setdefault("commissioned_at", commissioned_at.isoformat())
                device.pop("faults", None)
        # Writing TOML takes 9 ms to load, and only who hosts emulated devices writes a rig file.
        import tomlkit  # noqa: PLC0415 - slow to load

        return tomlkit.dumps(values)

    def said(
        self, device: RigDevice, commissioned_at: datetime | date | None = None
    ) -> dict[FactName, Any]:
        """Return the facts that the rig file states of a device, and no others.

        Args:
            device: One of the rig's.
            commissioned_at: When it was commissioned, where the file does not say.
        """
        fuels = _FUELS[device.type]
        responsible = [
            party
            for fuel in (Fuel.ELECTRICITY, Fuel.GAS)
            if fuel in fuels and (party := self.home.of(fuel)) is not None
        ]
        first = responsible[0] if responsible else None
        said: dict[FactName, Any] = {
            name: getattr(device, name.value)
            for name in FactName
            if name.value in device.model_fields_set
        }
        said |= {
            FactName.DEVICE_TYPE: device.type,
            FactName.FUELS: fuels,
            FactName.COMMISSIONED_AT: device.commissioned_at or commissioned_at,
            FactName.RESPONSIBLE_SUPPLIERS: tuple(
                dict.fromkeys(party.supplier for party in responsible)
            )
            or None,
            FactName.LEAD_SUPPLIER: device.lead_supplier or (first.supplier if first else None),
            FactName.NETWORK_OPERATOR: device.network_operator
            or (first.network_operator if first else None),
        }
        return {name: value for name, value in said.items() if value is not None}


def parse_rig(text: str, source: str) -> Rig:
    """Read a rig from TOML text; `source` names it in errors.

    Raises:
        RigFileInvalid: Names the line, what is wrong and what to write instead.
    """
    try:
        return read_toml(text, Rig)
    except TOMLFault as fault:
        line = f", line {fault.line}" if fault.line else ""
        raise RigFileInvalid(f"{source}{line}", fault.reason, fault.mend) from None


def load_rig(path: Path | None) -> Rig:
    """Read a rig file; without one, the emulated home.

    Raises:
        RigFileInvalid: It cannot be read, or as `parse_rig`.
        EmulationMissing: It has emulated devices, and what emulates them is not installed.
    """
    if path is None:
        return parse_rig(emulated_home_text(), EMULATED_HOME)
    try:
        text = read_text(path, maximum=TOML_MAXIMUM_OCTETS)
    except Unreadable as error:
        raise RigFileInvalid(str(path), str(error), error.mend) from None
    rig = parse_rig(text, str(path))
    if rig.has_emulated_devices:
        installed_emulation(str(path))
    return rig


def emulated_home_text() -> str:
    """Return the text of the emulated home's rig file.

    Raises:
        EmulationMissing: What emulates devices, and has the file, is not installed.
    """
    text: str = installed_emulation(NO_RIG_FILE).home_rig_text()
    return text
