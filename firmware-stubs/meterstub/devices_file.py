"""Which devices are to be hosted, and how: from a TOML file or from the command line."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from gbcs.entity_identifier import EntityIdentifier
from gbcs.printable import printable
from gbcs.protocol_errors import KeyrigError
from gbcs.roles import DeviceType
from meterstub.device_faults import Faults
from meterstub.device_options import DeviceOptions

TOML_OCTETS_LIMIT: Final = 1 << 20


class DevicesInvalid(KeyrigError):
    """What is said of the devices to be hosted cannot be used."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _entity(value: Any) -> EntityIdentifier:
    try:
        return EntityIdentifier.parse(str(value))
    except KeyrigError as error:
        raise ValueError(str(error)) from None


def _fault(text: str) -> str:
    Faults().inject(text)
    return text


def _only_options(value: Any) -> Any:
    known = {each.name for each in fields(DeviceOptions)}
    if isinstance(value, dict) and (unknown := sorted(set(value) - known)):
        msg = f"no option {', '.join(unknown)}; the options are {', '.join(sorted(known))}"
        raise ValueError(msg)
    return value


Fault = Annotated[str, AfterValidator(_fault)]


class HDLCPair(_Strict):
    """HDLC addresses: the client's and the device's."""

    client: Annotated[int, Field(ge=1, le=0x7F)] = 0x10
    server: Annotated[int, Field(ge=1, le=0x3FFF)] = 1


class HostedDevice(_Strict):
    """One device that is to be hosted, and how.

    It is put on a pty, to which `link` leads where it is there, or on `tcp_port` of 127.0.0.1,
    where 0 is any that is free. `options` are those of `DeviceOptions`.
    """

    entity_id: Annotated[EntityIdentifier, PlainValidator(_entity)]
    type: DeviceType
    framing: Literal["gfi", "hdlc"] = "gfi"
    tcp_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    link: Path | None = None
    hdlc: HDLCPair = HDLCPair()
    faults: tuple[Fault, ...] = ()
    options: Annotated[DeviceOptions, BeforeValidator(_only_options)] = DeviceOptions()

    @model_validator(mode="after")
    def _is_on_one_line(self) -> HostedDevice:
        if self.link is not None and self.tcp_port is not None:
            raise ValueError("link is for a pty; leave it or tcp_port out")
        return self


class DevicesFile(_Strict):
    """A file of devices; `folder`, relative to the file, is where their keys are kept."""

    folder: Path | None = None
    device: Annotated[tuple[HostedDevice, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_is_there_once(self) -> DevicesFile:
        listed = [device.entity_id for device in self.device]
        if twice := sorted({str(each) for each in listed if listed.count(each) > 1}):
            raise ValueError(f"{', '.join(twice)} is there twice; remove one")
        return self


def read_devices(path: Path) -> DevicesFile:
    """Read a file of devices; its paths are relative to it.

    Raises:
        DevicesInvalid: It is no such file; names the file and the key.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        octets = file.read(TOML_OCTETS_LIMIT + 1)
    if len(octets) > TOML_OCTETS_LIMIT:
        raise DevicesInvalid(f"{path}: longer than {TOML_OCTETS_LIMIT} octets; name another file")
    try:
        values = tomllib.loads(octets.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DevicesInvalid(f"{path}: no TOML: {printable(str(error))}; correct it") from None
    found = _valid(values, str(path))
    return found.model_copy(
        update={
            "folder": found.folder and path.parent / found.folder,
            "device": tuple(
                each.model_copy(update={"link": each.link and path.parent / each.link})
                for each in found.device
            ),
        }
    )


def devices_of(texts: list[str], faults: list[str], *, tcp: bool) -> DevicesFile:
    """Read devices and faults as the command line has them.

    Args:
        texts: Each `TYPE:EUI` or `TYPE:EUI:FRAMING`.
        faults: Each `EUI:FAULT`.
        tcp: They listen on TCP ports that the system chooses, in place of ptys.

    Raises:
        DevicesInvalid: One has another form, or a fault is for a device that is not there.
    """
    listed: list[dict[str, Any]] = []
    for text in texts:
        device_type, _, rest = text.partition(":")
        entity_id, _, framing = rest.partition(":")
        values: dict[str, Any] = {"type": device_type, "entity_id": entity_id, "faults": []}
        if framing:
            values["framing"] = framing
        if tcp:
            values["tcp_port"] = 0
        listed.append(values)
    read = _valid({"device": listed}, "--device")
    for text in faults:
        entity_id, _, fault = text.partition(":")
        at = [n for n, each in enumerate(read.device) if _is_of(entity_id, each)]
        if not at:
            raise DevicesInvalid(f"--fault {printable(text)}: no such device; name one by --device")
        listed[at[0]]["faults"].append(fault)
    return _valid({"device": listed}, "--fault")


def _is_of(text: str, device: HostedDevice) -> bool:
    try:
        return EntityIdentifier.parse(text) == device.entity_id
    except KeyrigError:
        return False


def _valid(values: dict[str, Any], where: str) -> DevicesFile:
    try:
        return DevicesFile.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        at = f", {key}" if key else ""
        raise DevicesInvalid(f"{where}{printable(at)}: {printable(reason)}; correct it") from None
