"""Facts of devices, and who stated them: for `keyrig facts list` and the API."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from gbcs.roles import DeviceType
from keyrig.base.clock import instant_text
from keyrig.documents.document_model import Document, Eui, Instant, TextOrNull
from keyrig.domain.known_facts import FactName, plain_value, standing_facts
from keyrig.domain.smi_status import SMIStatus

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.ledger.ledger import Ledger


def fact_value(value: Any) -> Any:
    """Return the value of a fact in the form of documents."""
    return instant_text(value) if isinstance(value, datetime) else plain_value(value)


FactValue = Annotated[
    Any,
    BeforeValidator(fact_value),
    Field(
        description="Text, true or false, or a list of texts; null takes back what was said.",
        examples=["2026-11-24T09:00:00.000Z"],
    ),
]


class SaidFact(Document):
    """A fact that was recorded of a device."""

    name: FactName = Field(examples=["commissioned_at"])
    value: FactValue
    source: str = Field(examples=["rig emulated-home"])
    holds_from: Instant | None = Field(
        description="From when on, where that was said.", validation_alias="at", examples=[None]
    )
    recorded_at: Instant


class HeldStatus(Document):
    """An SMI Status that a device came to hold."""

    status: SMIStatus = Field(examples=["Commissioned"])
    at: Instant
    source: str = Field(validation_alias="cause", examples=["rig file"])
    clause: TextOrNull = Field(examples=[None])


class DeviceFactsDocument(Document):
    """What is known of a device."""

    entity_id: Eui
    facts: tuple[SaidFact, ...]
    smi_status: tuple[HeldStatus, ...]

    @classmethod
    def of(
        cls, ledger: Ledger, device: EntityIdentifier, now: datetime, *, history: bool
    ) -> DeviceFactsDocument:
        """Return the present facts of a device, or with `history` all that were ever recorded."""
        said = ledger.device_facts.history(device)
        statuses = ledger.smi_statuses.history(device)
        return cls.model_validate(
            {
                "entity_id": device,
                "facts": said if history else standing_facts(device, said, now),
                "smi_status": statuses if history else statuses[-1:],
            }
        )


class FactsDocument(Document):
    """The facts of several devices, as `keyrig facts list --json` prints them."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    devices: tuple[DeviceFactsDocument, ...]


class InventoryDevice(Document):
    """A device of an inventory."""

    entity_id: Eui = Field(examples=["00-DB-12-34-56-78-90-B0"])
    type: DeviceType = Field(examples=["ESME"])
    news: tuple[str, ...] = Field(
        description="What was new of it.",
        examples=[["device_type", "commissioned_at", "SMI Status Commissioned"]],
    )


class InventoryDocument(Document):
    """What an inventory added to the facts."""

    schema_number: Literal[1] = Field(default=1, serialization_alias="schema")
    devices: tuple[InventoryDevice, ...]
    without_duties: tuple[Eui, ...] = Field(
        description="Type 2 Devices, which owe nothing.", examples=[[]]
    )
