"""The keys by which a device may have signed a message, as its keys change in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbcs.certificate_profiles import GBCSCertificate
from gbcs.protection import describe, signed_under
from gbcs.protocol_errors import CertificateRejected, DecodeError, SignatureMismatch
from gbcs.roles import KeyUsage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from gbcs.message import Message
    from keyrig.documents.evidence_document import ExchangeBody


class DeviceSigners:
    """Keeps which signing keys devices have given up.

    A device gives its old key up when it first gives the new certificate back (CS02e), after
    that was sent to it (CS02d); between the two it may sign by either. A manufacturer may know
    the key that a device left the factory with, so what is signed by it later proves nothing.

    Args:
        certificates: The devices' own certificates, of whatever time.
    """

    def __init__(self, certificates: Iterable[GBCSCertificate]) -> None:
        self._certificates = [
            certificate
            for certificate in certificates
            if certificate.key_usage is KeyUsage.DIGITAL_SIGNATURE
        ]
        self._sent: dict[bytes, int] = {}
        self._given_up: dict[GBCSCertificate, ExchangeBody] = {}

    def know_changes(self, sent: Iterable[tuple[int, bytes]]) -> None:
        """Record which certificates (DER) were sent to devices, each with its exchange's id."""
        for exchange_id, der in sent:
            self._sent.setdefault(der, exchange_id)

    def gives_back(self, exchange: ExchangeBody, response: Any) -> None:
        """Record a device's response to CS02e: its older keys are given up from here on."""
        try:
            given = GBCSCertificate.from_der(response) if isinstance(response, bytes) else None
            if given is None or given.key_usage is not KeyUsage.DIGITAL_SIGNATURE:
                return
        except (CertificateRejected, DecodeError):
            return
        if self._sent.get(given.der, exchange.id) >= exchange.id:
            return
        self._given_up.pop(given, None)
        for certificate in self._certificates:
            is_to_come = self._sent.get(certificate.der, 0) > exchange.id
            if certificate.entity_id == exchange.device and certificate != given and not is_to_come:
                self._given_up.setdefault(certificate, exchange)

    def signers(self, message: Message, at: datetime | None = None) -> tuple[GBCSCertificate, ...]:
        """Return the certificates, at least one, of the key by which a device signed a message.

        Args:
            message: A response, or an alert.
            at: When an alert was received; None for the response of the exchange being checked.

        Raises:
            ProtectionMissing: It is not signed.
            SignatureMismatch: It is signed by no key of the device, or by one given up.
        """
        signers = signers_of(message, self._certificates)
        ended = [self._given_up.get(certificate) for certificate in signers]
        fit = tuple(
            certificate
            for certificate, end in zip(signers, ended, strict=True)
            if end is None
            or (at is not None and end.finished_at is not None and at <= end.finished_at)
        )
        if not fit:
            line = next(end.line for end in ended if end is not None)
            raise SignatureMismatch(
                f"the signature of {describe(message.header)} is by a key that the device had "
                f"given up at line {line}"
            )
        return fit


def signers_of(
    message: Message, certificates: Iterable[GBCSCertificate]
) -> tuple[GBCSCertificate, ...]:
    """Return those certificates of a message's originator by whose key it is signed.

    Raises:
        ProtectionMissing: It is not signed.
        SignatureMismatch: It is signed by none of them.
    """
    signing = (message.header.originator, KeyUsage.DIGITAL_SIGNATURE)
    signers = tuple(
        each
        for each in certificates
        if not each.signs_xml
        and (each.entity_id, each.key_usage) == signing
        and signed_under(message, [each]) is not None
    )
    if not signers:
        raise SignatureMismatch(
            f"the signature of {describe(message.header)} is by no certificate in the file"
        )
    return signers
