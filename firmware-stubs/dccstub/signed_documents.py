"""Responses and alerts as signed documents of the DSP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dccstub.stand_in_options import GBCS_VERSION
from duis import xml_signatures
from duis.document_headers import RequestIdentifier, ResponseHeader
from duis.response_documents import LocalCommand, PreCommand, Response, build_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from dccstub.key_folder import KeyFolder
    from dccstub.stand_in_faults import Faults
    from dccstub.stand_in_options import StandInOptions
    from duis.alert_messages import DCCAlertMessage, DeviceAlertMessage
    from duis.document_headers import RequestHeader
    from duis.response_documents import ResponseBody
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.message import Message


class Composer:
    """Writes and signs what the DSP says.

    Args:
        keys: Has the key that signs the broker's XML.
        options: Says who the broker is.
        faults: What may become of a document on its way out.
        clock: Returns the time that documents bear.
    """

    def __init__(
        self,
        keys: KeyFolder,
        options: StandInOptions,
        faults: Faults,
        clock: Callable[[], datetime],
    ) -> None:
        self._dsp = options.parties.access_control_broker
        self._key, self._certificate = keys.xml_signing(self._dsp)
        self._faults = faults
        self._clock = clock
        self._alerts = 0

    def reply(
        self, header: RequestHeader, response_code: str, body: ResponseBody | None = None
    ) -> bytes:
        """Write what a request gets at once, in the HTTP reply."""
        return self.response(
            header.request_id, header.service_reference_variant, response_code, body
        )

    def pre_command(self, header: RequestHeader, message: Message) -> bytes:
        """Write what a request was transformed to."""
        body = PreCommand(gbcs_version=GBCS_VERSION, gbcs_payload=message.octets)
        return self.reply(header, "I0", body)

    def local_command(self, header: RequestHeader, command: bytes) -> bytes:
        """Write a command for local delivery."""
        return self.reply(header, "I0", LocalCommand(gbcs_payload=command))

    def response(
        self,
        request_id: RequestIdentifier,
        variant: str,
        response_code: str,
        body: ResponseBody | None,
    ) -> bytes:
        """Write a response to the request of `request_id`."""
        header = ResponseHeader(
            request_id=request_id,
            response_id=request_id.answered(),
            response_code=response_code,
            response_date_time=self._clock(),
        )
        return self._signed(Response(header=header, body=body, service_reference_variant=variant))

    def device_alert(
        self, body: DeviceAlertMessage, user: EntityIdentifier, alert: Message
    ) -> bytes:
        """Write what a device sent unasked."""
        sender, counter = alert.header.originator, alert.header.originator_counter
        return self._alert(body, RequestIdentifier(sender, user, counter))

    def dcc_alert(self, body: DCCAlertMessage, user: EntityIdentifier | None) -> bytes:
        """Write what the DCC tells a user, or None in particular."""
        self._alerts += 1
        return self._alert(
            body, None if user is None else RequestIdentifier(self._dsp, user, self._alerts)
        )

    def _alert(
        self, body: DeviceAlertMessage | DCCAlertMessage, response_id: RequestIdentifier | None
    ) -> bytes:
        header = ResponseHeader(
            response_id=response_id, response_code="I0", response_date_time=self._clock()
        )
        return self._signed(Response(header=header, body=body))

    def _signed(self, response: Response) -> bytes:
        octets = xml_signatures.sign(build_response(response), self._key, self._certificate)
        return self._faults.on_document(octets)
