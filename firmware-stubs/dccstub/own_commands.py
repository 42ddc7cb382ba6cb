"""Requests that are not critical: the DCC makes, signs and sends their commands by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dccstub import commands, options
from dccstub.refusals import Refused
from duis.credentials import RequestHandoverOfDCCControlledDevice, UpdateSecurityCredentialsCoS
from duis.requests import RetrieveDeviceSecurityCredentialsKRP

if TYPE_CHECKING:
    from datetime import datetime

    from dccstub.broker import Broker
    from dccstub.options import DCCParties
    from duis.requests import Request
    from gbcs.message import Message


class OwnCommands:
    """Makes the commands of 6.21, 6.23 and 6.24.1.

    Args:
        broker: Has the DCC's keys and counters.
        parties: Who the DCC is.
    """

    def __init__(self, broker: Broker, parties: DCCParties) -> None:
        self._broker = broker
        self._parties = parties

    def command(self, request: Request) -> tuple[Message, bytes, datetime | None]:
        """Give header and content of a command, the DCC's signature, and when it is due.

        6.21 for later waits at the DCC; 6.23 for later waits on the device.

        Raises:
            Refused: The request's content makes no command.
        """
        body, device = request.body, request.header.request_id.target
        broker, cos = self._parties.access_control_broker, self._parties.transitional_cos
        variant = request.header.service_reference_variant
        due: datetime | None = None
        party = broker
        try:
            if isinstance(body, RetrieveDeviceSecurityCredentialsKRP):
                counter = self._broker.next_counter(broker)
                made = commands.provide_credentials(body, broker, device, counter)
            elif isinstance(body, RequestHandoverOfDCCControlledDevice):
                due = body.execution_date_time
                counter = self._broker.next_counter(broker)
                at_once = replace(body, execution_date_time=None)
                made = commands.update_by_party(at_once, broker, device, counter)
            elif isinstance(body, UpdateSecurityCredentialsCoS):
                party, counter = cos, self._broker.next_counter(cos)
                made = commands.update_by_transitional_cos(body, cos, device, counter)
            else:
                raise Refused(options.UNSUPPORTED, f"{type(body).__name__} is not sent")
        except commands.RequestNotTransformable as error:
            raise Refused(options.CREDENTIALS_REFUSED[variant], str(error)) from error
        return made, self._broker.signed_by(party, made), due
