"""The link to a device by service requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyrig.transports.dcc.service_conversation import ServiceConversation

if TYPE_CHECKING:
    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.domain.service_requests import Users
    from keyrig.session.session_context import OnAlert, SessionContext
    from keyrig.transports.dcc.dcc_service import DCCService

NAME: Final = "DCC Boxed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLink:
    """The link to one device by service requests.

    Args:
        device: The device.
        service: The DCC's interface.
        users: The Users that may send requests.
        timeout_s: How long its answer to one request may take, in seconds.
    """

    device: EntityIdentifier
    service: DCCService = field(repr=False)
    users: Users
    timeout_s: float

    @property
    def name(self) -> str:
        """Its name in errors and reports."""
        return f"{NAME} {self.service.address}"

    def open(self) -> None:
        """Do nothing: a request makes a connection of its own."""

    def close(self) -> None:
        """Do nothing, as `open`."""

    def conversation(self, session: SessionContext, on_alert: OnAlert) -> ServiceConversation:
        """Return the conversation with the device in a run."""
        self.service.inbox.run_id = session.run_id
        return ServiceConversation(
            device=self.device,
            service=self.service,
            users=self.users,
            session=session,
            timeout_s=self.timeout_s,
            on_alert=on_alert,
        )
