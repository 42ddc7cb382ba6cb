"""Key derivation, MACs and signatures of messages.

Source: GBCS v0.8.1, 4.3.3 (key agreement and derivation), 6.2.3 and 6.4.5 (MAC), 6.3.3
(signature); the AAD's six-octet prefix as RTDS 4.5.0 and the vector of 18.4 have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import constant_time, hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from gbcs.message import TRANSACTION_ID_OCTETS, CRAFlag, Header, Message, compose_protected
from gbcs.message_headers import MAC_OCTETS, SECURITY_HEADER
from gbcs.protocol_errors import (
    LocalProtocolError,
    MACMismatch,
    ProtectionMissing,
    SignatureMismatch,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gbcs._certificate import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.key_holders import Signer

AES_GCM_128: Final = bytes.fromhex("60857406080300")
"""AlgorithmID of the key derivation's OtherInfo."""
ENCRYPTION_FLAG: Final = 4
"""Stands in the place of the CRA flag when the key is for encryption."""
_KEY_OCTETS: Final = 16
_NO_INVOCATION: Final = bytes(4)
_MAC_PREFIX: Final = SECURITY_HEADER + b"\x00"
_SHA256: Final = hashes.SHA256()
_ECDSA: Final = ec.ECDSA(_SHA256)


# Theory of operation.
#
# The signature comes first and covers Grouping Header and content, all but the tag DF. The MAC
# comes last and covers the six-octet prefix and everything from the tag on, the signature and
# its length included:
#
#     DD … 11 00000000 | DF | transaction id, parties, …, content | length, signature | MAC
#                             <------------ signed ------------->
#             prefix and <------------------ authenticated --------------------->
#
# The MAC is an AES-GCM tag of 12 octets over no plaintext. GCM is broken by two messages under
# one key and one initialisation vector, and here the vector is the same for all messages of an
# originator: its Entity Identifier and four zero octets. So the key must differ for each message,
# and it does by what goes into its derivation beside the shared secret Z: originator, CRA flag,
# originator counter and recipient. This rests on three things:
#
# - an originator never uses a counter twice, for which the ledger answers;
# - a response has its command's counter, and another CRA flag and originator;
# - a key for encryption has flag 4, which is no CRA flag.
#
# Z itself is static, as both keys are: whoever has either private key can make either side's
# MACs. A MAC therefore convinces the two parties and nobody else; a signature convinces everybody.


def derive_key(
    shared_secret: bytes,
    *,
    originator: EntityIdentifier,
    flag: int,
    counter: int,
    recipient: EntityIdentifier,
) -> bytes:
    """Derive the AES key of one message; 16 octets.

    Args:
        shared_secret: Z, 32 octets.
        originator: Of the message, also where another party's key makes the MAC.
        flag: The CRA flag, or `ENCRYPTION_FLAG`.
        counter: The originator counter, or the supplementary one when encrypting.
        recipient: Of the message, or the supplementary party when encrypting.

    Source: GBCS v0.8.1, 4.3.3.3; NIST SP 800-56A, 5.8.1.
    """
    transaction_id = bytes((flag,)) + counter.to_bytes(8)
    other_info = (
        AES_GCM_128 + originator + bytes((TRANSACTION_ID_OCTETS,)) + transaction_id + recipient
    )
    return ConcatKDFHash(_SHA256, _KEY_OCTETS, other_info).derive(shared_secret)


def _mac(shared_secret: bytes, header: Header, authenticated: bytes) -> bytes:
    key = derive_key(
        shared_secret,
        originator=header.originator,
        flag=header.cra_flag,
        counter=header.originator_counter,
        recipient=header.recipient,
    )
    tag = AESGCM(key).encrypt(header.originator + _NO_INVOCATION, b"", _MAC_PREFIX + authenticated)
    return tag[:MAC_OCTETS]


def protect(
    message: Message, *, signer: Signer | None = None, shared_secret: bytes | None = None
) -> Message:
    """Sign and MAC a message.

    Args:
        message: A pre-command, or an unprotected response or alert.
        signer: Signs it; None where it carries no signature.
        shared_secret: Z for the MAC; None where it carries no MAC.

    Raises:
        LocalProtocolError: Neither is given; no message goes out unprotected.
    """
    if signer is None and shared_secret is None:
        raise LocalProtocolError("a message needs a signature, a MAC, or both")
    signature = b"" if signer is None else signer.sign(message.signed_octets)
    return add_mac(message, signature=signature, shared_secret=shared_secret)


def add_mac(message: Message, *, signature: bytes, shared_secret: bytes | None) -> Message:
    """Return a message with a signature made elsewhere, and a MAC.

    Args:
        message: A pre-command, or any message whose protection is to be replaced.
        signature: 64 octets, or b"" where it carries none.
        shared_secret: Z for the MAC; None where it carries no MAC.
    """
    if shared_secret is None:
        return compose_protected(message, signature=signature, mac=None)
    authenticated = message.grouping + bytes((len(signature),)) + signature
    return compose_protected(
        message, signature=signature, mac=_mac(shared_secret, message.header, authenticated)
    )


def verify_mac(message: Message, shared_secret: bytes) -> None:
    """Verify the MAC of a message.

    Raises:
        ProtectionMissing: It has none.
        MACMismatch: It is not the one that the octets and the keys give.
    """
    if message.mac is None:
        raise ProtectionMissing(f"{describe(message.header)} carries no MAC")
    expected = _mac(shared_secret, message.header, message.authenticated_octets)
    if not constant_time.bytes_eq(expected, message.mac):
        raise MACMismatch(f"the MAC of {describe(message.header)} does not verify")


def verify_signature(message: Message, public_key: ec.EllipticCurvePublicKey) -> None:
    """Verify the signature of a message.

    Raises:
        ProtectionMissing: It has none.
        SignatureMismatch: It is not by the key that belongs to `public_key`.
    """
    if not message.signature:
        raise ProtectionMissing(f"{describe(message.header)} carries no signature")
    signature = encode_dss_signature(
        int.from_bytes(message.signature[:32]), int.from_bytes(message.signature[32:])
    )
    try:
        public_key.verify(signature, message.signed_octets, _ECDSA)
    except InvalidSignature:
        raise SignatureMismatch(
            f"the signature of {describe(message.header)} does not verify"
        ) from None


def signed_under(
    message: Message, certificates: Iterable[GBCSCertificate]
) -> GBCSCertificate | None:
    """Return the certificate by whose key a message is signed; None where it is by none's.

    Raises:
        ProtectionMissing: It has no signature, and there is a certificate to check it by.
        CertificateRejected: The key of a certificate cannot be read.
    """
    for certificate in certificates:
        try:
            verify_signature(message, certificate.public_key)
        except SignatureMismatch:
            continue
        return certificate
    return None


def describe(header: Header) -> str:
    """Return the name of the message that a header belongs to, for an error's one line."""
    kind = {
        CRAFlag.COMMAND: "the command",
        CRAFlag.RESPONSE: "the response",
        CRAFlag.ALERT: "the alert",
    }[header.cra_flag]
    return (
        f"{kind} {header.message_code:04X} of {header.originator} "
        f"with counter {header.originator_counter}"
    )
