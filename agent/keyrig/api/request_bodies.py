"""Bodies of requests, with the examples of the OpenAPI document."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, RootModel

from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from keyrig.delivery.batch_reading import COMMANDS_MAXIMUM
from keyrig.documents.certificate_document import PEM_EXAMPLE
from keyrig.domain.device_facts import Fuel
from keyrig.domain.smi_status import SMIStatus

ENTITY_PATTERN: Final = r"^[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){7}$"
ENTITY_EXAMPLE: Final = "00-DB-12-34-56-78-90-A0"
OPERATION_PATTERN: Final = r"^[0-9a-f]{32}$"
LINE_PATTERN: Final = r"^[\x20-\x7e\xa0-\ud7ff]+$"
"""A line of printable text."""

EntityText = Annotated[
    str,
    Field(pattern=ENTITY_PATTERN, description="An Entity Identifier.", examples=[ENTITY_EXAMPLE]),
]
OperationId = Annotated[
    str, Field(pattern=OPERATION_PATTERN, description="A run's or an operation's id.")
]


def _text(value: Any) -> Any:
    """Return text that begins with a date; pydantic would read digits alone as a Unix time.

    Raises:
        ValueError: It is anything else.
    """
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("write it as 2026-11-20T09:00:00Z, or a date as 2026-11-20")
    return value


_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt ]|$)")
InstantText = Annotated[AwareDatetime, BeforeValidator(_text)]
DateText = Annotated[date, BeforeValidator(_text)]
Source = Annotated[
    str,
    Field(
        pattern=LINE_PATTERN,
        max_length=120,
        description="Who says so: a person, a ticket, a system. The token's name without it.",
    ),
]


class Asked(BaseModel):
    """The body of a request; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


class _Said(Asked):
    at: Annotated[
        InstantText | None,
        Field(description="From when on it holds; may lie ahead. Now without it."),
    ] = None
    source: Source | None = None


class SaidType(_Said):
    """A device's type."""

    name: Literal["device_type"]
    value: Annotated[DeviceType | None, Field(description="null takes it back.")]


class SaidFlag(_Said):
    """A fact that is true or false of a device."""

    name: Literal[
        "replaced",
        "decommissioned",
        "organisation_certificate_replaced_by_dcc_during_commissioning",
    ]
    value: Annotated[bool | None, Field(strict=True, description="null takes it back.")]


class SaidCommissioning(_Said):
    """When a device was commissioned."""

    name: Literal["commissioned_at"]
    value: Annotated[
        InstantText | DateText | None,
        Field(description="An instant, or its date; null takes it back."),
    ]


class SaidParty(_Said):
    """An organisation that is responsible for a device."""

    name: Literal["lead_supplier", "network_operator"]
    value: Annotated[EntityText | None, Field(description="null takes it back.")]


class SaidChecker(_Said):
    """Who checked the Recovery Certificate after the device was received."""

    name: Literal["recovery_checked_after_receipt_by"]
    value: Annotated[EntityText | Literal["dcc"] | None, Field(description="null takes it back.")]


class SaidParties(_Said):
    """The suppliers that are responsible for a device."""

    name: Literal["responsible_suppliers"]
    value: Annotated[
        list[EntityText] | None, Field(min_length=1, description="null takes it back.")
    ]


class SaidFuels(_Said):
    """The fuels that a device serves."""

    name: Literal["fuels"]
    value: Annotated[list[Fuel] | None, Field(min_length=1, description="null takes it back.")]


class FactSaid(
    RootModel[
        Annotated[
            SaidType
            | SaidFlag
            | SaidCommissioning
            | SaidParty
            | SaidChecker
            | SaidParties
            | SaidFuels,
            Field(discriminator="name"),
        ]
    ]
):
    """One fact of a device, as `keyrig facts set` takes it."""


class StatusSaid(Asked):
    """An SMI Status that was set elsewhere."""

    status: SMIStatus
    at: Annotated[
        InstantText | None, Field(description="Since when; not ahead. Now without it.")
    ] = None
    source: Source | None = None


class RunRequest(Asked):
    """The options of a run."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "not": {
                "required": ["cancel", "execute_at"],
                "properties": {"cancel": {"const": True}, "execute_at": {"type": "string"}},
            }
        },
    )

    rig: Annotated[str, Field(description="The rig's name.", examples=["emulated-home"])]
    devices: Annotated[
        list[EntityText], Field(max_length=500, description="Only these; all where empty.")
    ] = []
    execute_at: Annotated[
        InstantText | None,
        Field(description="Have devices replace their organisation certificate then."),
    ] = None
    cancel: Annotated[
        bool,
        Field(
            strict=True,
            description="Carry out no duty; have devices forget what they hold for later.",
        ),
    ] = False
    accept_clock: Annotated[
        bool,
        Field(
            strict=True,
            description="A person says that the clock is right, though it disagrees with what is "
            "on record.",
        ),
    ] = False
    all_or_nothing: Annotated[
        bool,
        Field(
            strict=True,
            description="Reach no device at all where anything that a due duty needs is missing.",
        ),
    ] = False


class CommandGiven(Asked):
    """One command, in one of the forms that `keyrig deliver` reads."""

    form: Annotated[
        Literal["duis", "hex"],
        Field(description="duis: a DUIS response with a LocalCommand; hex: the message's digits."),
    ]
    content: Annotated[str, Field(min_length=1, max_length=1_000_000, description="It.")]


class ResumeRequest(Asked):
    """The options with which a delivery is resumed."""

    go_on: Annotated[
        bool,
        Field(strict=True, description="Go on behind a command that was not carried out."),
    ] = False
    return_as: Annotated[
        EntityText | None, Field(description="Who returns the answers; None as they say.")
    ] = None
    accept_clock: Annotated[
        bool, Field(strict=True, description="A person says that the clock is right.")
    ] = False


class DeliveryRequest(ResumeRequest):
    """Commands that the DCC signed and MACed, for one device, in the order of delivery."""

    rig: Annotated[str, Field(description="The rig's name.", examples=["emulated-home"])]
    device: EntityText
    commands: Annotated[list[CommandGiven], Field(min_length=1, max_length=COMMANDS_MAXIMUM)]
    expires_at: Annotated[InstantText | None, Field(description="Until when they may be sent.")] = (
        None
    )


class CertificateGiven(Asked):
    """A public certificate to add to a rig's key store."""

    pem: Annotated[str, Field(max_length=16_384, description="One certificate in PEM.")]


class IssuedCertificatesGiven(Asked):
    """Certificates that an authority issued for waiting requests."""

    pem: Annotated[
        str,
        Field(
            # Even with every character escaped in JSON it is smaller than the largest body.
            max_length=150_000,
            description="Certificates in PEM, in any order, or PKCS#7 in PEM; those of "
            "authorities that come along in a chain are passed over.",
        ),
    ]


FACT_EXAMPLE: Final[dict[str, Any]] = {
    "name": "lead_supplier",
    "value": "90-B3-D5-1F-30-01-00-00",
    "source": "ticket 4711",
}
STATUS_EXAMPLE: Final[dict[str, Any]] = {"status": "Commissioned", "source": "ticket 4711"}
RUN_EXAMPLES: Final[list[dict[str, Any]]] = [
    {"rig": "emulated-home"},
    {"rig": "emulated-home", "devices": [ENTITY_EXAMPLE]},
]
CERTIFICATE_EXAMPLE: Final[dict[str, Any]] = {"pem": PEM_EXAMPLE}
DELIVERY_EXAMPLE: Final[dict[str, Any]] = {
    "rig": "emulated-home",
    "device": ENTITY_EXAMPLE,
    "commands": [
        {
            "form": "hex",
            "content": "DD000000000000471100000000DF090100000000000005160890B3D51F300000020800DB12"
            "34567890A000020008133011300702010403020308300602010202010300A3E451CDC680B824B9DAE4CF",
        }
    ],
}
INVENTORY_EXAMPLE: Final = """\
<sr:Response xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">
  <sr:Header>
    <sr:RequestID>90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1000</sr:RequestID>
    <sr:ResponseID>90-B3-D5-1F-30-00-00-02:90-B3-D5-1F-30-01-00-00:1000</sr:ResponseID>
    <sr:ResponseCode>I0</sr:ResponseCode>
    <sr:ResponseDateTime>2026-11-24T09:00:00.00Z</sr:ResponseDateTime>
  </sr:Header>
  <sr:Body>
    <sr:ResponseMessage>
      <sr:ServiceReference>8.2</sr:ServiceReference>
      <sr:ServiceReferenceVariant>8.2</sr:ServiceReferenceVariant>
      <sr:DSPInventory>
        <sr:Device>
          <sr:DeviceID>00-DB-12-34-56-78-90-B0</sr:DeviceID>
          <sr:DeviceType>ESME</sr:DeviceType>
          <sr:DeviceStatus>Commissioned</sr:DeviceStatus>
          <sr:DeviceManufacturer>1060</sr:DeviceManufacturer>
          <sr:DeviceModel>0001</sr:DeviceModel>
          <sr:DateCommissioned>2026-11-20</sr:DateCommissioned>
        </sr:Device>
      </sr:DSPInventory>
    </sr:ResponseMessage>
  </sr:Body>
</sr:Response>
"""


def entity_of(text: str) -> EntityIdentifier:
    """Return an Entity Identifier that was checked against its pattern."""
    return EntityIdentifier.parse(text)
