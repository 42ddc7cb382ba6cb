"""Manufacture: the first state of a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate, check_profile
from gbcs.certification_request import build_certification_request
from gbcs.key_holders import public_octets
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import DeviceType, KeyUsage
from meterstub.device_state import ContingencyKey, DeviceState
from meterstub.key_pair import KeyPair, generate_key
from meterstub.trust_anchor_cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric import ec

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.security_credentials import TrustAnchorCellIdentifier

_OWN_USAGES: Final = (KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT)


def manufacture(
    device_type: DeviceType,
    entity_id: EntityIdentifier,
    *,
    anchors: Mapping[TrustAnchorCellIdentifier, bytes],
    certify: Callable[[bytes], bytes],
    new_key: Callable[[], ec.EllipticCurvePrivateKey] = generate_key,
    contingency: ContingencyKey | None = None,
) -> DeviceState:
    """Make a device's key pairs, get their certificates, and fill its cells; counters are zero.

    From a real factory, supplier and network operator cells hold the access control broker's own
    certificates; whose role a certificate names is therefore not looked at here.

    Args:
        device_type: What it is to be.
        entity_id: Who it is to be.
        anchors: A certificate in DER for every cell of the type, and for no other.
        certify: Returns the device's certificate in DER for a certification request in DER.
        new_key: Generates a private key on P-256.
        contingency: Whom anyByContingency is accepted from, or None for nobody.

    Raises:
        LocalProtocolError: A cell lacks its certificate, is not the type's, or is for another
            use; or a device certificate is not for the device and its key.
        CertificateRejected: A certificate breaks its profile.
        DecodeError: A certificate is none.
    """
    cells = CELLS[device_type]
    _check_anchors(device_type, cells, anchors)
    key_pairs = {usage: KeyPair(new_key()) for usage in _OWN_USAGES}
    certificates = {
        usage: _certified(pair, usage, entity_id, certify) for usage, pair in key_pairs.items()
    }
    return DeviceState(
        device_type=device_type,
        entity_id=entity_id,
        key_pairs=key_pairs,
        certificates=certificates,
        cells={cell: anchors[cell] for cell in cells},
        contingency=contingency,
    )


def _check_anchors(
    device_type: DeviceType,
    cells: tuple[TrustAnchorCellIdentifier, ...],
    anchors: Mapping[TrustAnchorCellIdentifier, bytes],
) -> None:
    missing = [str(cell) for cell in cells if cell not in anchors]
    foreign = [str(cell) for cell in anchors if cell not in cells]
    if missing or foreign:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has no cell {', '.join(foreign)}"] if foreign else []
        raise LocalProtocolError(f"a {device_type.value} {' and '.join(parts)}")
    for cell in cells:
        certificate = GBCSCertificate.from_der(anchors[cell])
        check_profile(certificate)
        if cell.key_usage not in certificate.key_usage:
            raise LocalProtocolError(
                f"cell {cell} cannot hold a key for {certificate.key_usage.gbcs_name}"
            )


def _certified(
    pair: KeyPair,
    usage: KeyUsage,
    entity_id: EntityIdentifier,
    certify: Callable[[bytes], bytes],
) -> bytes:
    der = certify(build_certification_request(pair.private_key, usage, entity_id))
    certificate = GBCSCertificate.from_der(der)
    check_profile(certificate, CertificateProfile.DEVICE)
    is_own = certificate.entity_id == entity_id and certificate.key_usage == usage
    if not is_own or public_octets(certificate.public_key) != public_octets(pair.public_key):
        raise LocalProtocolError(f"{certificate} is no {usage.gbcs_name} certificate of its key")
    return der
