"""XML signatures of service requests and of the DCC's answers."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from duis import xml_signatures
from gbcs.protocol_errors import SecurityError
from gbcs.roles import KeyUsage, XMLSigningRole
from keyrig.base.errors import KeyStoreError, SettingsError
from keyrig.keys.folder_store import read_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.key_holders import Signer


class SigningKeys(Protocol):
    """Organisations' certificates and signers; private keys are never revealed."""

    def xml_signer(
        self, entity: EntityIdentifier, named: int | None
    ) -> tuple[Signer, GBCSCertificate]:
        """Return the signer of an organisation's XML, and its certificate."""
        ...


@dataclass(frozen=True, slots=True)
class RequestSigner:
    """Signs service requests with the acting party's XML-signing key, or one that is named.

    Args:
        keys: Signs for organisations.
        instead: The party that signs in place of every acting party; None for the party itself.
        named: The serial number of the certificate that the settings name for a party.
    """

    keys: SigningKeys
    instead: EntityIdentifier | None = None
    named: Mapping[EntityIdentifier, int] = field(default_factory=dict)

    def sign(self, document: bytes, party: EntityIdentifier) -> bytes:
        """Sign a service request of `party`.

        Raises:
            KeyStoreError: The signing key or its certificate is missing or locked, or which it
                is has to be named.
        """
        by = self.instead or party
        signer, certificate = self.keys.xml_signer(by, self.named.get(by))
        return xml_signatures.sign(document, signer, certificate)


class Unverified(enum.Enum):
    """The treatment of an answer whose XML signature cannot be verified.

    Refusing may lose an answer whose signer's certificate is merely missing; accepting relies on
    the connection to the box, though what a device signed in it is verified all the same.
    """

    REFUSE = "refuse"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """An accepted document, with its signer.

    Args:
        octets: The octets that the signature covers: parse these and no others.
        signer: The certificate that its signature verifies under, for people; "" where it is
            accepted unverified.
    """

    octets: bytes = field(repr=False)
    signer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseVerifier:
    """Verifies the DCC's answers.

    Args:
        certificates: Those by which it may be signed.
        unverified: The treatment of answers that none of them verifies.
    """

    certificates: tuple[GBCSCertificate, ...]
    unverified: Unverified = Unverified.REFUSE

    def verify(self, document: bytes, source: str) -> Believed:
        """Verify a document's signature; return the octets that it covers.

        Args:
            document: The document as received.
            source: Its name for errors.

        Raises:
            SecurityError: It is not signed by any of the certificates, and is refused for it.
            DocumentInvalid: It is hostile, or not XML.
        """
        find = xml_signatures.among(self.certificates)
        found: list[GBCSCertificate] = []

        def found_by(*named: object) -> GBCSCertificate | None:
            certificate = find(*named)  # type: ignore[arg-type]
            found[:] = [] if certificate is None else [certificate]
            return certificate

        try:
            octets = xml_signatures.verify(document, found_by, source)
        except SecurityError:
            if self.unverified is Unverified.REFUSE:
                raise
            return Believed(octets=document, signer="")
        return Believed(octets=octets, signer=str(found[0]))


def response_certificates(
    folder: Path | None, broker: EntityIdentifier, known: Iterable[GBCSCertificate]
) -> tuple[GBCSCertificate, ...]:
    """Return the certificates by which the DCC's answers may be signed.

    Args:
        folder: The folder with them; None takes those among `known` that sign the DCC's XML (the
            DSP's), and the access control broker's for signatures.
        broker: The access control broker, which in DCC Boxed is the DSP too.
        known: The certificates of the key store.

    Raises:
        SettingsError: The folder has none, or one that cannot be read.
    """
    if folder is None:
        return tuple(
            each
            for each in known
            if each.key_usage == KeyUsage.DIGITAL_SIGNATURE
            and (each.role is XMLSigningRole.DSP_XML_SIGN or each.entity_id == broker)
        )
    where = "dcc_boxed.response_certificates"
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".pem")
        certificates = tuple(read_certificate(path) for path in paths)
    except OSError as error:
        raise SettingsError(
            where, f"{folder} cannot be read: {error.strerror}", "name a folder of PEM files"
        ) from None
    except KeyStoreError as error:
        raise SettingsError(where, str(error), "replace the file") from None
    if not certificates:
        raise SettingsError(where, f"{folder} has no .pem file", "put the certificates there")
    return certificates
