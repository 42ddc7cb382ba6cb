from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from authorities import Remake
from firmware_stubs.support import DS, KA, Bench, Role, remembered
from gbcs import protection
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.certification_request import CertificationRequest
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import public_octets
from gbcs.roles import DeviceType, KeyUsage
from gbcs.security_credentials import (
    IssueCredentialsResponseCode,
    ProvideDeviceCertificateResponseCode,
    UpdateDeviceCertificateResponseCode,
)
from gbcs.x509_extensions import x509_key_usage
from meterstub.command_execution import EventCode
from meterstub.device_faults import FaultKind
from meterstub.device_options import DeviceOptions, SigningKey
from meterstub.key_pair import generate_key

if TYPE_CHECKING:
    from collections.abc import Callable

Code = UpdateDeviceCertificateResponseCode
OTHER_DEVICE = EntityIdentifier.parse("00db1234567890a9")
FAILED = {
    DS: EventCode.DIGITAL_SIGNATURE_CERTIFICATE_REPLACEMENT_FAILED,
    KA: EventCode.KEY_AGREEMENT_CERTIFICATE_REPLACEMENT_FAILED,
}


@pytest.mark.parametrize("usage", [DS, KA])
@pytest.mark.parametrize("device_type", DeviceType)
def test_key_change_of_every_type(device_type: DeviceType, usage: KeyUsage) -> None:
    bench = Bench(device_type)
    old = bench.state.key_pairs[usage]
    request = bench.payload_of(bench.issue(1, usage))
    read = CertificationRequest.from_der(request)
    assert (read.entity_id, read.key_usage) == (bench.device.entity_id, usage)
    assert bench.state.key_pairs[usage] == old
    der = bench.pki.certify(request)
    assert bench.payload_of(bench.install(2, der)) is Code.SUCCESS
    assert bench.state.key_pairs[usage].public_key == read.public_key
    assert bench.state.certificates[usage] == der
    assert not bench.state.pending
    assert bench.payload_of(bench.read_certificate(3, usage)) == der
    succeeded = {
        DS: EventCode.DIGITAL_SIGNATURE_CERTIFICATE_REPLACED,
        KA: EventCode.KEY_AGREEMENT_CERTIFICATE_REPLACED,
    }
    assert [entry.code for entry in bench.state.log] == [succeeded[usage]]


def test_new_key_agreement_key_makes_the_next_mac() -> None:
    bench = Bench()
    before = bench.state.key_pairs[KA]
    der = bench.pki.certify(bench.payload_of(bench.issue(1, KA)))
    by_old_key = bench.provide(9, Role.SUPPLIER)
    bench.answer(bench.install(2, der))
    assert bench.state.key_pairs[KA] != before
    assert bench.device.receive_message(by_old_key) == []
    assert bench.device.receive_message(bench.provide(9, Role.SUPPLIER))


@pytest.mark.parametrize("which", SigningKey)
def test_response_that_tells_of_the_change_is_signed_by(which: SigningKey) -> None:
    bench = Bench(options=DeviceOptions(cs02d_response_signed_with=which))
    old = bench.state.key_pairs[DS].public_key
    der = bench.pki.certify(bench.payload_of(bench.issue(1)))
    response = bench.answer(bench.install(2, der))
    new = bench.state.key_pairs[DS].public_key
    bench.verify_signed(response, old if which is SigningKey.OLD else new)
    assert response.header.date_time == b""
    bench.verify_signed(bench.answer(bench.read_certificate(3)), new)


def test_second_request_replaces_the_pending_pair() -> None:
    bench = Bench()
    first = bench.payload_of(bench.issue(1))
    second = bench.payload_of(bench.issue(2))
    assert bench.payload_of(bench.install(3, bench.pki.certify(first))) is Code.WRONG_PUBLIC_KEY
    assert bench.payload_of(bench.install(4, bench.pki.certify(second))) is Code.SUCCESS


def test_second_request_is_refused_where_the_option_says_so() -> None:
    bench = Bench(options=DeviceOptions(second_issue_replaces_pending=False))
    first = bench.payload_of(bench.issue(1))
    refused = bench.payload_of(bench.issue(2))
    assert refused is IssueCredentialsResponseCode.KEY_PAIR_GENERATION_FAILED
    assert bench.payload_of(bench.issue(3, KA))
    assert bench.payload_of(bench.install(4, bench.pki.certify(first))) is Code.SUCCESS


@pytest.mark.parametrize(
    "usage", [KeyUsage.KEY_CERT_SIGN, DS | KA, KeyUsage(0), KeyUsage.NON_REPUDIATION]
)
def test_use_that_a_device_has_no_key_for(usage: KeyUsage) -> None:
    bench = Bench()
    issued = bench.payload_of(bench.issue(1, usage))
    assert issued is IssueCredentialsResponseCode.INVALID_KEY_USAGE
    read = bench.payload_of(bench.read_certificate(2, usage))
    assert read is ProvideDeviceCertificateResponseCode.INVALID_KEY_USAGE
    assert not bench.state.pending


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.KEY_GENERATION, IssueCredentialsResponseCode.KEY_PAIR_GENERATION_FAILED),
        (FaultKind.CERTIFICATION_REQUEST, IssueCredentialsResponseCode.CR_PRODUCTION_FAILED),
    ],
)
def test_failed_generation_leaves_nothing_pending(kind: FaultKind, code: object) -> None:
    bench = Bench()
    bench.device.faults.fail(kind)
    assert bench.payload_of(bench.issue(1)) is code
    assert not bench.state.pending
    assert isinstance(bench.payload_of(bench.issue(2)), bytes)


def remade(bench: Bench, der: bytes, change: Callable[[Remake], Any]) -> bytes:
    remake = Remake(GBCSCertificate.from_der(der))
    change(remake)
    signer: Any = bench.pki.authorities.device_issuing.signer
    return remake.signed(signer.key).der


BAD: dict[str, tuple[Code, Callable[[Bench, bytes, bytes], bytes]]] = {
    "no certificate": (Code.INVALID_CERTIFICATE, lambda *_: b"\x30\x03\x02\x01\x00"),
    "an organisation's": (
        Code.INVALID_CERTIFICATE,
        lambda b, _, __: b.pki.credential(b.critical_cell).der,
    ),
    "no identifier of its key": (
        Code.INVALID_CERTIFICATE,
        lambda b, _, der: remade(b, der, _without_key_identifier),
    ),
    "another device's": (
        Code.WRONG_DEVICE_IDENTITY,
        lambda b, request, _: b.pki.certify(request, entity_id=OTHER_DEVICE),
    ),
    "non-repudiation": (
        Code.INVALID_KEY_USAGE,
        lambda b, _, der: remade(b, der, _for_non_repudiation),
    ),
    "the use of no pending pair": (
        Code.NO_CORRESPONDING_KEY_PAIR_GENERATED,
        lambda b, request, _: b.pki.certify(request, key_usage=KA),
    ),
    "another key": (
        Code.WRONG_PUBLIC_KEY,
        lambda b, request, _: b.pki.certify(request, public_key=generate_key().public_key()),
    ),
}


def _without_key_identifier(remake: Remake) -> None:
    remake.without(x509.SubjectKeyIdentifier)


def _for_non_repudiation(remake: Remake) -> None:
    remake.replacing(x509_key_usage(KeyUsage.NON_REPUDIATION))


@pytest.mark.parametrize("name", BAD)
def test_certificate_that_is_not_taken_changes_no_key(name: str) -> None:
    code, make = BAD[name]
    bench = Bench()
    request = bench.payload_of(bench.issue(1))
    der = bench.pki.certify(request)
    keys, pending = dict(bench.state.key_pairs), dict(bench.state.pending)
    certificates = dict(bench.state.certificates)
    assert bench.payload_of(bench.install(2, make(bench, request, der))) is code
    assert dict(bench.state.key_pairs) == keys
    assert dict(bench.state.pending) == pending
    assert dict(bench.state.certificates) == certificates
    assert bench.state.log[-1].code in FAILED.values()
    assert bench.payload_of(bench.install(3, der)) is Code.SUCCESS


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FaultKind.STORAGE, Code.CERTIFICATE_STORAGE_FAILED),
        (FaultKind.PRIVATE_KEY_CHANGE, Code.PRIVATE_KEY_CHANGE_FAILED),
    ],
)
@pytest.mark.parametrize("usage", [DS, KA])
def test_failed_change_keeps_the_pending_pair(usage: KeyUsage, kind: FaultKind, code: Code) -> None:
    bench = Bench()
    der = bench.pki.certify(bench.payload_of(bench.issue(1, usage)))
    bench.device.faults.fail(kind)
    assert bench.payload_of(bench.install(2, der)) is code
    assert bench.state.log[-1].code == FAILED[usage]
    assert bench.payload_of(bench.install(3, der)) is Code.SUCCESS


def test_certificate_cannot_be_installed_twice() -> None:
    bench = Bench()
    der = bench.pki.certify(bench.payload_of(bench.issue(1)))
    assert bench.payload_of(bench.install(2, der)) is Code.SUCCESS
    again = bench.payload_of(bench.install(3, der))
    assert again is Code.NO_CORRESPONDING_KEY_PAIR_GENERATED
    assert bench.state.certificates[DS] == der


def test_certificate_that_is_not_held_or_cannot_be_read() -> None:
    bench = Bench()
    bench.device.faults.fail(FaultKind.CERTIFICATE_RETRIEVAL)
    failure = bench.payload_of(bench.read_certificate(1))
    assert failure is ProvideDeviceCertificateResponseCode.CERTIFICATE_RETRIEVAL_FAILURE
    bench.device.memory.commit(replace(bench.state, certificates={}))
    missing = bench.payload_of(bench.read_certificate(2))
    assert missing is ProvideDeviceCertificateResponseCode.NO_CERTIFICATE_HELD


def test_pending_pair_is_lost_with_the_power_where_the_option_says_so() -> None:
    bench = Bench()
    request = bench.payload_of(bench.issue(1))
    bench.power_on()
    assert bench.payload_of(bench.install(2, bench.pki.certify(request))) is Code.SUCCESS
    bench = Bench(options=DeviceOptions(lose_pending_on_power_loss=True))
    request = bench.payload_of(bench.issue(1))
    bench.power_on()
    lost = bench.payload_of(bench.install(2, bench.pki.certify(request)))
    assert lost is Code.NO_CORRESPONDING_KEY_PAIR_GENERATED


def test_private_keys_are_shown_nowhere() -> None:
    bench = Bench()
    bench.answer(bench.issue(1))
    shown = repr(bench.state) + repr(bench.device) + repr(bench.device.describe())
    shown += repr(bench.device.memory) + repr(bench.storage)
    pairs = [*bench.state.key_pairs.values(), *bench.state.pending.values()]
    for pair in pairs:
        secret = pair.private_key.private_numbers().private_value
        assert "PRIVATE" not in shown
        assert f"{secret:x}" not in shown.lower()
        assert str(secret) not in shown
        assert "hidden" in repr(pair)
    assert remembered(bench.storage).count(b"PRIVATE KEY") == 2 * len(pairs)


def test_signature_is_of_64_octets_and_agreement_is_mutual() -> None:
    bench = Bench()
    pair, other = bench.state.key_pairs[DS], bench.state.key_pairs[KA]
    assert len(pair.sign(b"octets")) == 64
    assert pair.agree(other.public_key) == other.agree(pair.public_key)
    assert len(public_octets(pair.public_key)) == 65
    protection.verify_signature(bench.answer(bench.read_certificate(1)), pair.public_key)
