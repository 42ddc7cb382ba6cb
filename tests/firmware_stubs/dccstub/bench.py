"""A stand-in DCC Boxed on keys made in the run, one device behind it, and a user in front."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from authorities import DEVICE
from dccstub import DCCBoxed, Faults, InventoryDevice, KeyFolder, StandInOptions
from dccstub.key_folder import HeldCertificate
from dccstub.stand_in_options import DCCParties
from dccstub.web_services import SERVICE_OF, WebService
from duis import xml_signatures
from duis.credential_requests import (
    CertificationPathCertificates,
    ReplacementCertificatesKRP,
    SupplierOrNetworkOperatorCertificates,
    UpdateSecurityCredentialsKRP,
)
from duis.document_headers import RequestIdentifier
from duis.request_documents import SignedPreCommand, build_request, request_of
from duis.response_documents import PreCommand, Response, ResponseMessage, parse_response
from duis.service_references import CommandVariant
from firmware_stubs.support import DS, ENTITIES, KA, PKI, TOP_UP, Credential, SettableClock, cell
from gbcs import protection, use_cases
from gbcs.message import Message
from gbcs.roles import DeviceType, RemotePartyRole
from meterstub.device_factory import manufacture
from meterstub.device_memory import DeviceMemory, VolatileStorage
from meterstub.emulated_device import EmulatedDevice
from meterstub.trust_anchor_cells import CELLS, ROOT_CELL

if TYPE_CHECKING:
    from dccstub.web_services import HTTPReply
    from duis.request_documents import RequestBody
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.security_credentials import TrustAnchorCellIdentifier
    from meterstub.device_options import DeviceOptions

Role = RemotePartyRole
BROKER = ENTITIES[Role.ACCESS_CONTROL_BROKER]
COS = ENTITIES[Role.TRANSITIONAL_COS]
SUPPLIER = ENTITIES[Role.SUPPLIER]
OPERATOR = ENTITIES[Role.NETWORK_OPERATOR]
PARTIES = DCCParties(access_control_broker=BROKER, transitional_cos=COS)
ANSWER_TIMEOUT = timedelta(seconds=5)
_CREDENTIALS = (
    ("ds", cell(Role.RECOVERY, DS)),
    ("ds", cell(Role.SUPPLIER, DS)),
    ("ka", cell(Role.SUPPLIER, KA)),
    ("pp-ka", cell(Role.SUPPLIER, KA, TOP_UP)),
    ("ds", cell(Role.NETWORK_OPERATOR, DS)),
    ("ka", cell(Role.NETWORK_OPERATOR, KA)),
    ("ds", cell(Role.ACCESS_CONTROL_BROKER, DS)),
    ("ka", cell(Role.ACCESS_CONTROL_BROKER, KA)),
    ("ds", cell(Role.TRANSITIONAL_COS, DS)),
    ("ds", cell(Role.WAN_PROVIDER, DS)),
)


def variant_of(body: RequestBody) -> str:
    assert not isinstance(body, SignedPreCommand)
    return body.SERVICE_REFERENCE_VARIANT


def factory_owner(which: TrustAnchorCellIdentifier) -> TrustAnchorCellIdentifier:
    """The broker holds the supplier's and the operator's places until they are handed over."""
    if which.role in {Role.SUPPLIER, Role.NETWORK_OPERATOR}:
        return cell(Role.ACCESS_CONTROL_BROKER, which.key_usage)
    return which


@dataclass
class StandInBench:
    """A stand-in, its device, and what a supplier does with it."""

    device_type: DeviceType = DeviceType.ESME
    is_handed_over: bool = True
    pki: PKI = field(default_factory=PKI)
    clock: SettableClock = field(default_factory=SettableClock)
    device_options: DeviceOptions | None = None
    options: dict[str, Any] = field(default_factory=dict)
    inventory: dict[str, Any] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self._counters = itertools.count(1000)

    @cached_property
    def keys(self) -> KeyFolder:
        held = []
        for use, which in _CREDENTIALS:
            credential = self.pki.credential(which)
            stem = f"{ENTITIES[which.role].stem}-{use}"
            held.append(
                HeldCertificate(
                    stem, credential.certificate, use[-2:], which.cell_usage, credential.pair
                )
            )
        for stem, issuer in (
            ("root", self.pki.authorities.root),
            ("issuing", self.pki.authorities.issuing),
        ):
            held.append(HeldCertificate(stem, issuer.certificate, "", which.cell_usage, None))
        return KeyFolder(held)

    @cached_property
    def device(self) -> EmulatedDevice:
        anchors = self.pki.anchors(self.device_type)
        if not self.is_handed_over:
            anchors = {
                which: der if which == ROOT_CELL else self.pki.credential(factory_owner(which)).der
                for which, der in anchors.items()
            }
        state = manufacture(self.device_type, DEVICE, anchors=anchors, certify=self.pki.certify)
        memory = DeviceMemory.create(VolatileStorage(), state)
        return EmulatedDevice(memory, options=self.device_options, clock=self.clock)

    @cached_property
    def listed(self) -> InventoryDevice:
        fields: dict[str, Any] = {
            "date_commissioned": date(2026, 5, 20),
            "supplier": SUPPLIER,
            "network_operator": OPERATOR,
            "import_mpxn": "1312345678333",
        }
        return InventoryDevice(emulated=self.device, **(fields | self.inventory))

    @cached_property
    def boxed(self) -> DCCBoxed:
        fields: dict[str, Any] = {"parties": PARTIES, "answer_timeout": ANSWER_TIMEOUT}
        return DCCBoxed(
            self.keys,
            [self.listed],
            options=StandInOptions(**(fields | self.options)),
            clock=self.clock,
            faults=self.faults,
        )

    def credential(self, role: RemotePartyRole) -> Credential:
        return self.pki.credential(cell(role, DS))

    def next_id(
        self, target: EntityIdentifier = DEVICE, originator: EntityIdentifier = SUPPLIER
    ) -> RequestIdentifier:
        return RequestIdentifier(originator, target, next(self._counters))

    def signed(
        self,
        body: RequestBody,
        request_id: RequestIdentifier,
        variant: CommandVariant | None = None,
        reference: str | None = None,
        by: RemotePartyRole = Role.SUPPLIER,
    ) -> bytes:
        document = build_request(request_of(body, request_id, variant, reference))
        credential = self.credential(by)
        return xml_signatures.sign(document, credential.pair, credential.certificate)

    def post(self, octets: bytes, service: WebService) -> HTTPReply:
        return self.boxed.receive(service, octets)

    def read(self, octets: bytes) -> Response:
        """Read what the DSP signed, and see that it did."""
        find = xml_signatures.among([self.credential(Role.ACCESS_CONTROL_BROKER).certificate])
        return parse_response(xml_signatures.verify(octets, find, "response"), "response")

    def ask(
        self,
        body: RequestBody,
        request_id: RequestIdentifier | None = None,
        variant: CommandVariant | None = None,
        service: WebService | None = None,
        **changes: Any,
    ) -> Response:
        """Send a request to the service that takes it, and read the reply."""
        chosen = min(body.COMMAND_VARIANTS) if variant is None else variant
        octets = self.signed(body, request_id or self.next_id(), chosen, **changes)
        reply = self.post(octets, service or SERVICE_OF[chosen])
        assert (reply.status, reply.content_type) == (200, "application/xml")
        return self.read(reply.body)

    def code(self, body: RequestBody, *arguments: Any, **changes: Any) -> str:
        return self.ask(body, *arguments, **changes).header.response_code

    def delivered(self) -> list[bytes]:
        """Let the stand-in work, and take every document that is due now."""
        self.boxed.poll()
        found = []
        while (delivery := self.boxed.deliveries.next_due(self.clock.now)) is not None:
            self.boxed.deliveries.done(delivery, taken=True, now=self.clock.now)
            found.append(delivery.octets)
        return found

    def responses(self) -> list[Response]:
        return [self.read(octets) for octets in self.delivered()]

    def pre_command(self, body: RequestBody, request_id: RequestIdentifier, **by: Any) -> Message:
        response = self.ask(body, request_id, **by)
        assert response.header.response_code == "I0"
        assert isinstance(response.body, PreCommand)
        return Message.parse(response.body.gbcs_payload)

    def signed_pre_command(
        self, pre_command: Message, by: RemotePartyRole = Role.SUPPLIER
    ) -> SignedPreCommand:
        signed = protection.protect(pre_command, signer=self.credential(by).pair)
        return SignedPreCommand(gbcs_payload=signed.octets)

    def send_critical(
        self, body: RequestBody, by: RemotePartyRole = Role.SUPPLIER
    ) -> RequestIdentifier:
        """Transform, sign and send; the response is still to come."""
        request_id = self.next_id(originator=ENTITIES[by])
        signed = self.signed_pre_command(self.pre_command(body, request_id, by=by), by)
        reference = variant_of(body)
        response = self.ask(
            signed, request_id, CommandVariant.SEND_SIGNED, reference=reference, by=by
        )
        assert (response.header.response_code, response.body) == ("I99", None)
        return request_id

    def payload(self, response: Response) -> Any:
        assert isinstance(response.body, ResponseMessage)
        decoded = use_cases.decode_payload(Message.parse(response.body.gbcs_payload))
        assert decoded is not None
        return decoded.value

    def outcome(self, body: RequestBody, **by: Any) -> Any:
        """Carry a critical request through, and give what the device answered."""
        request_id = self.send_critical(body, **by)
        response = self.responses()[0]
        assert response.header.request_id == request_id
        assert response.header.response_id == request_id.answered()
        assert response.header.response_code == "I0"
        assert response.service_reference_variant == variant_of(body)
        return self.payload(response)

    @property
    def path(self) -> CertificationPathCertificates:
        return CertificationPathCertificates(
            certificates=(self.pki.authorities.issuing.certificate.der,)
        )

    def new_certificates(self, role: RemotePartyRole = Role.SUPPLIER) -> dict[str, bytes]:
        cells = {
            "digital_signing_certificate": cell(role, DS),
            "key_agreement_certificate": cell(role, KA),
            "key_agreement_top_up_certificate": cell(role, KA, TOP_UP),
        }
        return {
            name: self.pki.new_credential(which).der
            for name, which in cells.items()
            if which in CELLS[self.device_type]
        }

    def update(self, role: RemotePartyRole = Role.SUPPLIER, **changes: Any) -> Any:
        """6.15.1 with new certificates."""
        certificates = changes.pop("certificates", None) or self.new_certificates(role)
        fields: dict[str, Any] = {
            "remote_party_role": role,
            "remote_party_floor_seq_number": 0,
            "replacement_certificates": ReplacementCertificatesKRP(
                supplier_or_network_operator_certificates=SupplierOrNetworkOperatorCertificates(
                    **certificates
                )
            ),
            "certification_path_certificates": self.path,
            "apply_time_based_cpv_checks": True,
        }
        return UpdateSecurityCredentialsKRP(**(fields | changes))
