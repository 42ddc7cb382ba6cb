from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from authorities import DEVICE, Authorities
from firmware_stubs.support import (
    BROKER_CELL,
    DS,
    ENTITIES,
    KA,
    PKI,
    SUPPLIER_CELLS,
    Bench,
    Role,
    cell,
)
from gbcs.certification_request import CertificationRequest
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import CertificateRejected, DecodeError, LocalProtocolError
from gbcs.roles import DeviceType
from meterstub.device_factory import manufacture
from meterstub.trust_anchor_cells import CELLS

if TYPE_CHECKING:
    from meterstub.device_state import DeviceState


def made(pki: PKI, device_type: DeviceType = DeviceType.ESME, **changes: Any) -> DeviceState:
    arguments: dict[str, Any] = {
        "anchors": pki.anchors(device_type),
        "certify": pki.certify,
    } | changes
    return manufacture(device_type, DEVICE, **arguments)


@pytest.mark.parametrize("device_type", DeviceType)
def test_new_device_has_its_cells_its_certificates_and_no_counters(device_type: DeviceType) -> None:
    pki = PKI()
    state = made(pki, device_type)
    assert set(state.cells) == set(CELLS[device_type])
    assert set(state.certificates) == {DS, KA}
    assert state.counters == {}
    assert state.alert_counter == 0
    assert state.log == ()
    assert state.key_pairs[DS] != state.key_pairs[KA]


def test_missing_and_foreign_cells_are_named() -> None:
    pki = PKI()
    anchors = pki.anchors(DeviceType.ESME)
    del anchors[BROKER_CELL]
    anchors[cell(Role.WAN_PROVIDER, DS)] = pki.credential(cell(Role.WAN_PROVIDER, DS)).der
    expected = (
        r"a ESME lacks \{accessControlBroker, keyAgreement\} "
        r"and has no cell \{wanProvider, digitalSignature\}"
    )
    with pytest.raises(LocalProtocolError, match=expected):
        made(pki, anchors=anchors)


def test_certificate_for_another_use_does_not_fit_its_cell() -> None:
    pki = PKI()
    anchors = pki.anchors(DeviceType.ESME)
    anchors[SUPPLIER_CELLS[0]] = anchors[SUPPLIER_CELLS[1]]
    with pytest.raises(LocalProtocolError, match="cannot hold a key for keyAgreement"):
        made(pki, anchors=anchors)
    anchors[SUPPLIER_CELLS[0]] = b"\x30\x00"
    with pytest.raises(DecodeError):
        made(pki, anchors=anchors)


def test_broker_s_certificates_may_stand_in_for_supplier_and_operator() -> None:
    pki = PKI()
    broker = ENTITIES[Role.ACCESS_CONTROL_BROKER]
    anchors = pki.anchors(DeviceType.GPF)
    for which in anchors:
        if which.role in {Role.SUPPLIER, Role.NETWORK_OPERATOR}:
            stand_in = pki.new_credential(which, entity_id=broker, role=Role.ACCESS_CONTROL_BROKER)
            anchors[which] = stand_in.der
    assert made(pki, DeviceType.GPF, anchors=anchors).cells == anchors


def other_device(pki: PKI, request: bytes) -> bytes:
    return pki.certify(request, entity_id=EntityIdentifier.parse("0102030405060708"))


def other_use(pki: PKI, request: bytes) -> bytes:
    usage = CertificationRequest.from_der(request).key_usage
    return pki.certify(request, key_usage=KA if usage is DS else DS)


def other_key(_: PKI, request: bytes) -> bytes:
    usage = CertificationRequest.from_der(request).key_usage
    return Authorities().device(key_usage=usage).der


@pytest.mark.parametrize("certify", [other_device, other_use, other_key])
def test_device_certificate_must_be_its_own(certify: Any) -> None:
    pki = PKI()
    with pytest.raises(LocalProtocolError, match="certificate of its key"):
        made(pki, certify=lambda request: certify(pki, request))


def test_device_certificate_must_be_a_device_s() -> None:
    pki = PKI()
    with pytest.raises(CertificateRejected):
        made(pki, certify=lambda _: pki.credential(SUPPLIER_CELLS[0]).der)


def test_description_shows_cells_certificates_counters_and_log() -> None:
    bench = Bench()
    bench.answer(bench.issue(3))
    bench.device.receive_message(b"noise")
    described = bench.device.describe()
    assert (described.device_type, described.entity_id) == (DeviceType.ESME, DEVICE)
    assert [each.cell for each in described.cells] == list(CELLS[DeviceType.ESME])
    supplier = next(each for each in described.cells if each.cell == SUPPLIER_CELLS[0])
    certificate = bench.pki.credential(SUPPLIER_CELLS[0]).certificate
    assert supplier.entity_id == ENTITIES[Role.SUPPLIER]
    assert supplier.subject_key_identifier == certificate.subject_key_identifier
    assert supplier.not_after == certificate.not_after
    assert [each.key_usage for each in described.certificates] == [DS, KA]
    assert described.pending == (DS,)
    assert described.counters == {Role.SUPPLIER: 3}
    assert [entry.code for entry in described.log] == [0x8F1E]
