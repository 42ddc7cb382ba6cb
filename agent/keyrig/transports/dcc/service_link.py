"""How a device is reached by service requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyrig.transports.dcc.service_conversation import ServiceConversation

if TYPE_CHECKING:
    from gbcs.entity import EntityIdentifier
    from keyrig.session.conversation import Surroundings
    from keyrig.session.device_messages import OnAlert
    from keyrig.transports.dcc.dcc_inbox import Inbox
    from keyrig.transports.dcc.duis_client import DUISClient
    from keyrig.transports.dcc.duis_signing import RequestSigner, ResponseVerifier
    from keyrig.transports.dcc.service_requests import Users

NAME: Final = "DCC Boxed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DCCService:
    """What requests and answers go through.

    Args:
        client: Posts requests.
        signer: Signs them.
        verifier: Says which answers are believed.
        inbox: Has what came by itself.
        address: Where the DCC's interface is, for people.
    """

    client: DUISClient
    signer: RequestSigner
    verifier: ResponseVerifier
    inbox: Inbox
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLink:
    """How one device is reached by service requests.

    Args:
        device: The device.
        service: What the requests go through.
        users: Who may ask for it.
        timeout_s: How long its answer to one request may take, in seconds.
    """

    device: EntityIdentifier
    service: DCCService = field(repr=False)
    users: Users
    timeout_s: float

    @property
    def name(self) -> str:
        """What errors and reports call it."""
        return f"{NAME} {self.service.address}"

    def open(self) -> None:
        """Do nothing: a request makes a connection of its own."""

    def close(self) -> None:
        """Do nothing, as `open`."""

    def conversation(self, surroundings: Surroundings, on_alert: OnAlert) -> ServiceConversation:
        """Give the conversation with the device in a run."""
        self.service.inbox.run_id = surroundings.run_id
        return ServiceConversation(
            device=self.device,
            service=self.service,
            users=self.users,
            surroundings=surroundings,
            timeout_s=self.timeout_s,
            on_alert=on_alert,
        )
