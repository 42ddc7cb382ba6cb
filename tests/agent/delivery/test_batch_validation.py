from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from authorities import DEVICE, Authorities
from duis.document_headers import RequestIdentifier, ResponseHeader
from duis.response_documents import LocalCommand, Response, build_response
from duis.xml_signatures import sign
from firmware_stubs.support import Role, cell
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message, compose_pre_command, compose_protected
from gbcs.protocol_errors import ProtectionMissing, SecurityError, SignatureMismatch
from homes.delivery_site import DS, KA, NOON, WEEK, Site
from keyrig.base.errors import SettingsError
from keyrig.delivery.batch_reading import GivenCommand, commands_in
from keyrig.delivery.batch_validation import SIGNATURE_VERIFIED, Expiry, check_batch
from keyrig.delivery.public_certificates import PublicCertificates

if TYPE_CHECKING:
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.ledger.local_commands import NewLocalCommand
    from meterstub.key_pair import KeyPair


@pytest.fixture(name="site")
def fixture_site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def checked(site: Site, *given: GivenCommand, **changes: object) -> tuple[NewLocalCommand, ...]:
    arguments: dict[str, object] = {
        "device": DEVICE,
        "certificates": site.certificates,
        "expiry": Expiry(at=None, valid_for=WEEK),
        "now": NOON,
    } | changes
    return check_batch(given, **arguments)  # type: ignore[arg-type] # as the keywords say


def refused(site: Site, *commands: bytes) -> str:
    with pytest.raises((SettingsError, SecurityError)) as caught:
        checked(site, *site.given(*commands, with_request_ids=False))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_command_for_another_device_is_refused(site: Site) -> None:
    other = EntityIdentifier.parse("00db1234567890a1")
    with pytest.raises(SettingsError, match="a command for 00-DB-12-34-56-78-90-A0, not for 00"):
        checked(site, *site.given(site.bench.issue(1)), device=other)


def test_request_for_another_device_is_refused(site: Site) -> None:
    (given,) = site.given(site.bench.issue(1), with_request_ids=False)
    other = EntityIdentifier.parse("00db1234567890a1")
    strange = GivenCommand(
        source="1.xml",
        octets=given.octets,
        request_id=RequestIdentifier(site.supplier, other, 1),
    )
    with pytest.raises(SettingsError, match="its RequestID is for 00-DB-12-34-56-78-90-A1"):
        checked(site, strange)


def test_response_and_alert_are_no_commands(site: Site) -> None:
    (response,) = site.bench.device.receive_message(site.bench.issue(1))
    assert "1.xml: a response of 00-DB-12-34-56-78-90-A0, not a command" in refused(site, response)


def test_pre_command_is_refused(site: Site) -> None:
    message = Message.parse(site.bench.issue(1))
    pre_command = compose_pre_command(message.header, message.content)
    assert "neither signed nor MACed" in refused(site, pre_command.octets)


def test_command_whose_mac_is_missing_is_refused(site: Site) -> None:
    message = Message.parse(site.bench.issue(1))
    assert message.signature
    bare = compose_protected(message, signature=message.signature, mac=None)
    with pytest.raises(ProtectionMissing, match=r"1\.xml: the command carries no MAC"):
        checked(site, *site.given(bare.octets))


def test_command_whose_signature_is_missing_is_refused(site: Site) -> None:
    message = Message.parse(site.bench.issue(1))
    bare = compose_protected(message, signature=b"", mac=message.mac)
    with pytest.raises(ProtectionMissing, match=r"1\.xml: the command carries no signature"):
        checked(site, *site.given(bare.octets))


def test_command_of_an_unknown_use_case_needs_one_protection_at_least(site: Site) -> None:
    header = site.bench.header(0x0062, site.supplier, 9)
    maced = site.bench.protected(header, b"\x01", signer=None)
    (command,) = checked(site, *site.given(maced, with_request_ids=False))
    assert command.message_code == 0x0062
    bare = compose_protected(Message.parse(maced), signature=b"", mac=None)
    with pytest.raises(ProtectionMissing):
        checked(site, *site.given(bare.octets))


def test_payload_that_its_use_case_has_not_is_refused(site: Site) -> None:
    header = site.bench.header(0x000A, site.supplier, 9)
    octets = site.bench.protected(header, b"\x30\x00", signer=None)
    assert "no payload of CS02c Issue Security Credentials" in refused(site, octets)


def test_signature_is_verified_where_the_originators_certificate_is_here(site: Site) -> None:
    site.certificates = PublicCertificates([site.supplier_certificate])
    (command,) = checked(site, *site.given(site.bench.issue(1001)))
    assert command.remarks == SIGNATURE_VERIFIED


def test_signature_that_cannot_be_checked_is_said_to_be_so(site: Site) -> None:
    (command,) = checked(site, *site.given(site.bench.issue(1001)))
    assert command.remarks == (
        f"signature cannot be checked here: no certificate of {site.supplier}"
    )


def test_signature_by_another_key_is_refused(site: Site) -> None:
    other = Authorities().organisation(entity_id=site.supplier)
    site.certificates = PublicCertificates([other])
    with pytest.raises(SignatureMismatch, match="is by no key known of"):
        checked(site, *site.given(site.bench.issue(1)))


def test_maced_command_is_for_the_device_alone_to_check(site: Site) -> None:
    (command,) = checked(
        site, *site.given(site.bench.provide(1, Role.ROOT), with_request_ids=False)
    )
    assert command.remarks == "MAC for the device alone"


def test_request_with_another_counter_than_its_command_is_remarked_on(site: Site) -> None:
    (command,) = checked(site, *site.given(site.bench.issue(7)))
    assert command.remarks.endswith("its RequestID has counter 1001, it has 7")


def test_same_command_twice_is_refused(site: Site) -> None:
    command = site.bench.issue(1)
    assert "2.xml: the same command as 1.xml" in refused(site, command, command)


def test_order_that_the_counters_contradict_is_refused(site: Site) -> None:
    text = refused(site, site.bench.issue(8), site.bench.issue(7))
    assert "2.xml: counter 7 of" in text
    assert "stands behind 8 of 1.xml" in text


def test_counters_of_different_originators_are_not_compared(site: Site) -> None:
    given = site.given(
        site.bench.issue(8, DS), site.bench.provide(7, Role.ROOT), site.bench.issue(9, KA)
    )
    assert [each.counter for each in checked(site, *given)] == [8, 7, 9]


def test_expiry_counts_from_the_response_that_a_command_came_in(site: Site) -> None:
    (given,) = site.given(site.bench.issue(1))
    old = GivenCommand(source="1.xml", octets=given.octets, responded_at=NOON - timedelta(days=2))
    to_come = GivenCommand(
        source="1.xml", octets=given.octets, responded_at=NOON + timedelta(days=400)
    )
    assert checked(site, given)[0].expires_at == NOON + WEEK
    assert checked(site, old)[0].expires_at == NOON + timedelta(days=5)
    assert checked(site, to_come)[0].expires_at == NOON + WEEK
    until = NOON + timedelta(hours=3)
    expiry = Expiry(at=until, valid_for=WEEK)
    assert checked(site, old, expiry=expiry)[0].expires_at == until


def test_no_command_at_all_is_refused(site: Site) -> None:
    with pytest.raises(SettingsError, match="no commands"):
        checked(site)


@pytest.mark.parametrize("end", [0, 1, 30, 60])
def test_part_of_a_command_is_refused(site: Site, end: int) -> None:
    assert "no GBCS message" in refused(site, site.bench.issue(1)[:end])


def signed_response(
    site: Site, signer: KeyPair, certificate: GBCSCertificate, **changes: object
) -> bytes:
    arguments: dict[str, object] = {
        "request_id": RequestIdentifier(site.supplier, DEVICE, 1001),
        "response_code": "I0",
        "response_date_time": NOON,
    } | changes
    response = Response(
        header=ResponseHeader(**arguments),  # type: ignore[arg-type] # as the names say
        body=LocalCommand(gbcs_payload=site.bench.issue(1001)),
        service_reference_variant="6.17",
    )
    return sign(build_response(response), signer, certificate)


def test_signature_of_a_duis_response_is_verified_where_its_signer_is_known(site: Site) -> None:
    dcc = site.bench.pki.credential(cell(Role.TRANSITIONAL_COS, DS))
    document = signed_response(site, dcc.pair, dcc.certificate)
    (command,) = checked(site, *commands_in(document, "1.xml"))
    assert command.remarks.endswith("the signature of its DUIS response cannot be checked here")
    site.certificates = PublicCertificates([dcc.certificate])
    (command,) = checked(site, *commands_in(document, "1.xml"))
    assert command.remarks.endswith("DUIS response verified")


def test_duis_response_that_was_changed_after_signing_is_refused(site: Site) -> None:
    dcc = site.bench.pki.credential(cell(Role.TRANSITIONAL_COS, DS))
    document = signed_response(site, dcc.pair, dcc.certificate).replace(b":1001", b":1002")
    site.certificates = PublicCertificates([dcc.certificate])
    with pytest.raises(SignatureMismatch, match=r"1\.xml"):
        checked(site, *commands_in(document, "1.xml"))


def test_duis_response_without_a_signature_is_remarked_on(site: Site) -> None:
    dcc = site.bench.pki.credential(cell(Role.TRANSITIONAL_COS, DS))
    signed = signed_response(site, dcc.pair, dcc.certificate)
    start, end = signed.index(b"<ds:Signature"), signed.index(b"</ds:Signature>")
    bare = signed[:start] + signed[end + len(b"</ds:Signature>") :]
    (command,) = checked(site, *commands_in(bare, "1.xml"))
    assert command.remarks.endswith("its DUIS response is not signed")
