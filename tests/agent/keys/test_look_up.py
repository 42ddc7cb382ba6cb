"""Looking up by index: what one look-up reads does not depend on how much the store holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from authorities import SUPPLIER, Authorities, new_key
from gbcs.certificate_profiles import CertificateProfile, GBCSCertificate
from gbcs.entity_identifier import EntityIdentifier
from gbcs.protocol_errors import CertificateRejected
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import KeyMissing
from keyrig.keys.key_store import Authority, IndexedKeyStore, StoredCertificate
from keyrig.keys.rig_keys import RigKeys
from keyrig.session.conformance import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNS = KeyUsage.DIGITAL_SIGNATURE
AGREES = KeyUsage.KEY_AGREEMENT
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(eq=False)
class Reads:
    """How many times a certificate was asked for anything."""

    count: int = 0


@dataclass(frozen=True)
class Counted:
    """What a store reads of a certificate, with each reading and comparison counted."""

    values: dict[str, Any] = field(hash=False)
    number: int
    reads: Reads = field(hash=False, compare=False)

    def __getattr__(self, name: str) -> Any:
        self.reads.count += 1
        return self.values[name]

    def __eq__(self, other: object) -> bool:
        self.reads.count += 1
        return isinstance(other, Counted) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)


class Key:
    """Stands for a private key, and hands itself out."""

    def signer(self) -> Any:
        return self

    agreer = certificate_signer = signer


def party(number: int) -> EntityIdentifier:
    return EntityIdentifier((0x00DB_0000_0000_0000 + number).to_bytes(8))


def store_of(parties: int, reads: Reads) -> tuple[IndexedKeyStore, list[Counted]]:
    """Make a store of that many parties with two certificates each, and one authority."""
    certificates = []
    for number in range(2 * parties):
        usage = (SIGNS, AGREES)[number % 2]
        values = {
            "entity_id": party(number // 2),
            "key_usage": usage,
            "profile": CertificateProfile.ORGANISATION,
            "role": None,
            "signs_xml": False,
            "not_before": START + timedelta(seconds=number),
            "serial": number,
            "subject": f"subject {number}",
            "issuer": "authority",
            "subject_key_identifier": number.to_bytes(8),
            "authority_key_identifier": b"authority",
            "public_key": number,
        }
        certificates.append(Counted(values, number, reads))
    authority = Counted(
        {
            "entity_id": None,
            "key_usage": KeyUsage.KEY_CERT_SIGN,
            "profile": CertificateProfile.ISSUING,
            "not_before": START,
            "serial": -1,
            "subject": "authority",
            "issuer": "root",
            "subject_key_identifier": b"authority",
            "authority_key_identifier": b"root",
        },
        -1,
        reads,
    )
    stored = [
        StoredCertificate(
            cast("GBCSCertificate", each), CellUsage.MANAGEMENT, "a file", key=cast("Any", Key())
        )
        for each in certificates
    ]
    issuing = StoredCertificate(
        cast("GBCSCertificate", authority), CellUsage.MANAGEMENT, "a file", Authority.ISSUING
    )
    return IndexedKeyStore("a store", [*stored, issuing], ()), certificates


def everything_asked(
    store: IndexedKeyStore, certificates: list[Counted]
) -> dict[str, Callable[[], object]]:
    """Give each question that steps, conversations and checks ask, of the store's last party."""
    entity, last = party(len(certificates) // 2 - 1), cast("GBCSCertificate", certificates[-2])
    key_identifier = certificates[-2].values["subject_key_identifier"]
    verifier = Verifier(store)

    def no_such_party() -> None:
        with pytest.raises(KeyMissing):
            store.certificate(SUPPLIER, key_usage=SIGNS)

    return {
        "certificate": lambda: store.certificate(entity, key_usage=SIGNS),
        "certificate then": lambda: store.certificate(entity, key_usage=SIGNS, at=None),
        "none": no_such_party,
        "signer": lambda: store.signer(entity),
        "signer of one": lambda: store.signer(entity, certificate=last),
        "agreer": lambda: store.agreer(entity),
        "authority": lambda: store.authority_certificate(Authority.ISSUING),
        "signer by key": lambda: RigKeys(store).signer(entity, key_identifier),
        "path": lambda: RigKeys(store).certification_path(last),
        "every one of a use": lambda: store.held_for(entity, AGREES),
        "whether a device": lambda: verifier.is_device(entity),
    }


def test_a_look_up_reads_the_same_of_30_and_of_30000_certificates() -> None:
    found: dict[int, dict[str, int]] = {}
    for certificates in (30, 30_000):
        reads = Reads()
        store, held = store_of(certificates // 2, reads)
        store.certificates()
        store.issuer_certificate(cast("GBCSCertificate", held[0]))
        store.authority_certificate(Authority.ISSUING)
        asked = everything_asked(store, held)
        found[certificates] = {}
        for name, ask in asked.items():
            reads.count = 0
            ask()
            found[certificates][name] = reads.count
    assert found[30] == found[30_000]
    assert max(found[30].values()) < 20


def test_what_is_looked_up_is_the_party_s_own() -> None:
    store, held = store_of(15, Reads())
    entity, signs, agrees = party(7), held[14], held[15]
    assert store.certificate(entity, key_usage=SIGNS) is cast("Any", signs)
    assert store.certificate(entity, key_usage=AGREES) is cast("Any", agrees)
    assert [each.certificate for each in store.held_for(entity, AGREES)] == [agrees]
    assert store.certificate_of_key(entity, SIGNS, (14).to_bytes(8)) is cast("Any", signs)
    assert store.certificate_of_key(entity, SIGNS, (15).to_bytes(8)) is None
    issuer = store.issuer_certificate(cast("Any", signs))
    assert issuer is not None
    assert issuer.subject == cast("Any", "authority")
    assert store.issuer_certificate(issuer) is None


def test_a_certificate_that_cannot_be_read_stops_no_look_up() -> None:
    class Unreadable(Counted):
        def __getattr__(self, name: str) -> Any:
            raise CertificateRejected(rule="subject", reason="it cannot be decoded")

    authorities = Authorities()
    sound = authorities.organisation(public_key=new_key().public_key())
    unreadable = cast("GBCSCertificate", Unreadable({}, 1, Reads()))
    stored = [
        StoredCertificate(each, CellUsage.MANAGEMENT, "a file") for each in (unreadable, sound)
    ]
    store = IndexedKeyStore("a store", stored, ())
    assert store.certificate(SUPPLIER, key_usage=SIGNS) is sound
    assert len(store.stored()) == 2
