"""What the API takes and gives of deliveries, as the OpenAPI document says it, with examples."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from keyrig.api.api_documents import (
    OPERATION_PATTERN,
    Asked,
    EntityText,
    InstantText,
    OperationId,
)
from keyrig.api.event_stream import stream_example
from keyrig.api.problem_documents import Problem
from keyrig.base import events
from keyrig.delivery.batch_reading import COMMANDS_MAXIMUM
from keyrig.domain.states import BatchRule, LocalCommandState, Verification

DeliveryId = Annotated[
    str,
    Field(
        pattern=OPERATION_PATTERN,
        description="A delivery's id: that of its batch, as `keyrig deliver --list` shows it.",
    ),
]
DeliveryState = Literal[
    "waiting", "running", "done", "failed", "needs-person", "interrupted", "error"
]


class CommandGiven(Asked):
    """One command, in one of the forms that `keyrig deliver` reads."""

    form: Annotated[
        Literal["duis", "hex"],
        Field(description="duis: a DUIS response with a LocalCommand; hex: the message's digits."),
    ]
    content: Annotated[str, Field(min_length=1, max_length=1_000_000, description="It.")]


class DeliveryRequest(Asked):
    """Commands that the DCC signed and MACed, for one device, in the order of delivery."""

    rig: Annotated[str, Field(description="The rig's name.", examples=["emulated-home"])]
    device: EntityText
    commands: Annotated[list[CommandGiven], Field(min_length=1, max_length=COMMANDS_MAXIMUM)]
    expires_at: Annotated[InstantText | None, Field(description="Until when they may be sent.")] = (
        None
    )
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


class ResumeRequest(Asked):
    """How a delivery goes on."""

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


class DeliveryAccepted(BaseModel):
    """A delivery that has begun, or was asked to stop."""

    delivery_id: DeliveryId
    operation_id: OperationId
    rig: str
    device: EntityText
    state: DeliveryState
    href: Annotated[str, Field(description="Where its state and its answers are.")]
    events: Annotated[str, Field(description="Where its events are, as Server-Sent Events.")]


class DeliverySummary(BaseModel):
    """One delivery."""

    delivery_id: DeliveryId
    operation_id: Annotated[
        OperationId | None, Field(description="The last of this API; null for the command line.")
    ]
    rig: str
    device: EntityText
    state: DeliveryState
    rule: BatchRule
    taken_in_at: datetime
    finished_at: datetime | None
    detail: Annotated[str, Field(description="What stands in the way, in one line.")]
    left: Annotated[int, Field(ge=0, description="How many commands may still be sent.")]
    states: Annotated[dict[str, int], Field(description="How many commands are in each state.")]


class DeliveredCommand(BaseModel):
    """One command of a delivery, and what became of it."""

    position: Annotated[int, Field(ge=1)]
    device: EntityText
    originator: EntityText
    counter: Annotated[int, Field(ge=0)]
    message_code: str
    what: Annotated[str, Field(description="The use case.")]
    request_id: Annotated[str | None, Field(description="The DUIS RequestID that it belongs to.")]
    source: str
    octets: Annotated[int, Field(ge=1, description="How long it is.")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of it.")]
    remarks: Annotated[str, Field(description="What could be checked when it was taken in.")]
    expires_at: datetime
    batch: DeliveryId
    state: LocalCommandState
    sendings: Annotated[int, Field(ge=0)]
    verification: Annotated[
        Verification | None, Field(description="What is known of the answer's protection.")
    ]
    detail: str
    return_id: Annotated[str | None, Field(description="The RequestID of `answer`.")]
    answer: Annotated[
        str | None,
        Field(description="The device's answer as an unsigned DUIS request 8.13, XML."),
    ]


class DeliveryDocument(DeliverySummary):
    """One delivery, with its commands and their answers."""

    problem: Annotated[Problem | None, Field(description="Why it could not be carried through.")]
    stoppable: Annotated[bool, Field(description="Whether this server can stop it.")]
    commands: list[DeliveredCommand]


class DeliveryList(BaseModel):
    """Deliveries, newest first."""

    deliveries: list[DeliverySummary]
    next: Annotated[
        DeliveryId | None, Field(description="Give it as `before` for those that are older.")
    ]


class DeliveryWithdrawn(BaseModel):
    """A delivery that was given up."""

    delivery_id: DeliveryId
    withdrawn: Annotated[int, Field(ge=0, description="How many commands could still be sent.")]


_ID: Final = "3f9c1e0a52fe4b1c8e94ad0a7bb2b8b2"
_OPERATION: Final = "52fe54b1c0e94ad0a7bb2b8b2f1c6f11"
_DEVICE: Final = "00-DB-12-34-56-78-90-A0"
_AT: Final = "2026-11-24T09:00:00+00:00"
REQUEST_EXAMPLE: Final[dict[str, Any]] = {
    "rig": "emulated-home",
    "device": _DEVICE,
    "commands": [
        {
            "form": "hex",
            "content": "DD000000000000471100000000DF090100000000000005160890B3D51F300000020800DB12"
            "34567890A000020008133011300702010403020308300602010202010300A3E451CDC680B824B9DAE4CF",
        }
    ],
}
ACCEPTED_EXAMPLE: Final[dict[str, Any]] = {
    "delivery_id": _ID,
    "operation_id": _OPERATION,
    "rig": "emulated-home",
    "device": _DEVICE,
    "state": "running",
    "href": f"/api/v1/deliveries/{_ID}",
    "events": f"/api/v1/deliveries/{_ID}/events",
}
_SUMMARY: Final[dict[str, Any]] = {
    "delivery_id": _ID,
    "operation_id": _OPERATION,
    "rig": "emulated-home",
    "device": _DEVICE,
    "state": "done",
    "rule": "stop",
    "taken_in_at": _AT,
    "finished_at": _AT,
    "detail": "",
    "left": 0,
    "states": {"answered": 1},
}
LIST_EXAMPLE: Final[dict[str, Any]] = {"deliveries": [_SUMMARY], "next": None}
WITHDRAWN_EXAMPLE: Final[dict[str, Any]] = {"delivery_id": _ID, "withdrawn": 1}
DOCUMENT_EXAMPLE: Final[dict[str, Any]] = _SUMMARY | {
    "problem": None,
    "stoppable": False,
    "commands": [
        {
            "position": 1,
            "device": _DEVICE,
            "originator": "90-B3-D5-1F-30-00-00-02",
            "counter": 1302,
            "message_code": "0008",
            "what": "CS02a Provide Security Credential Details",
            "request_id": None,
            "source": "command 1",
            "octets": 79,
            "digest": "5e" * 32,
            "remarks": "MAC for the device alone",
            "expires_at": "2026-12-01T09:00:00+00:00",
            "batch": _ID,
            "state": "answered",
            "sendings": 1,
            "verification": "not-verifiable-here",
            "detail": "its MAC is for 90-B3-D5-1F-30-00-00-02, whose key is not here",
            "return_id": "90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1764061200000",
            "answer": "<?xml version='1.0' encoding='UTF-8'?>…",
        }
    ],
}
EVENTS_EXAMPLE: Final = stream_example(
    events.OperationAccepted(
        operation=_OPERATION,
        rig="emulated-home",
        requested_by="handheld-7",
        delivery=_ID,
        device=_DEVICE,
    ),
    events.DeliveryStarted(
        batch=_ID,
        rig="emulated-home",
        device=_DEVICE,
        link="/dev/ttyUSB0",
        rule="stop",
        commands=1,
        to_send=1,
    ),
)
