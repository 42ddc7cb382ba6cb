"""What authorities give for requests that wait: the right, the wrong, and the right too late."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from authorities import Authorities, Remake
from gbcs.certificate_issuing import Issuance, Issuer, device_certificate, issuing_certificate
from gbcs.roles import KeyUsage
from keyrig.base.errors import KeyStoreError
from keyrig.domain.key_changes import KeyChangeState
from keyrig.keys.authority_by_hand import LIST_FILE, ByHandAuthority
from keyrig.keys.folder_store import write_certificate
from keyrig.keys.key_store import Authority
from keyrig.keys.store_opening import open_keystore
from keyrig.run.certificates_taken_in import take_in
from keyrig.run.certification_requests import record_issued, void
from keyrig.run.waiting_requests import waiting_requests
from meterstub.key_pair import generate_key

from .bench import DEVICE, DS, KA, LATER, NOW, OTHER, given

if TYPE_CHECKING:
    from collections.abc import Callable

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.run.certificates_taken_in import TakenIn

    from .bench import CertificationBench

WAITING, ISSUED = KeyChangeState.WAITING_FOR_AUTHORITY, KeyChangeState.CERTIFICATE_ISSUED


def taken(bench: CertificationBench, *certificates: GBCSCertificate) -> list[TakenIn]:
    return list(take_in(bench.ledger, given(*certificates), bench.issued, LATER))


def kept(bench: CertificationBench, certificate: GBCSCertificate) -> bool:
    return certificate in open_keystore(bench.keystore).certificates()


def everything(bench: CertificationBench) -> tuple[Any, ...]:
    """Return all that a wrong certificate must leave as it was."""
    changes = bench.ledger.key_changes
    return (
        [changes.history(device, usage) for device in (DEVICE, OTHER) for usage in (DS, KA)],
        waiting_requests(bench.ledger, LATER),
        bench.events(),
        sorted((path.name, path.read_bytes()) for path in bench.keystore.iterdir()),
    )


def test_chain_in_any_order_is_taken_each_for_its_request(bench: CertificationBench) -> None:
    for usage in (DS, KA):
        for device in (DEVICE, OTHER):
            bench.waiting(usage, device)
    store = open_keystore(bench.keystore)
    authorities = [each.certificate for each in store.stored() if each.authority is not None]
    right = [bench.certified(usage, device) for usage in (DS, KA) for device in (DEVICE, OTHER)]
    came = taken(bench, right[3], *authorities, right[0], Authorities().root.certificate, *right)
    assert sum(each.is_taken for each in came) == 4
    assert not any(each.is_refused for each in came)
    assert waiting_requests(bench.ledger, LATER) == ()
    assert all(kept(bench, each) for each in right)
    assert [event["state"] for event in bench.events()].count("certified") == 4


def test_same_file_again_changes_nothing_and_is_no_error(bench: CertificationBench) -> None:
    bench.waiting()
    certificate = bench.certified()
    first, second = taken(bench, certificate, certificate)
    assert (first.is_taken, second.is_taken, second.is_refused) == (True, False, False)
    before = everything(bench)
    (third,) = taken(bench, certificate)
    assert third.outcome.endswith("taken before")
    assert everything(bench) == before


def other_pki(bench: CertificationBench) -> GBCSCertificate:
    return Authorities(name="X").device(
        public_key=bench.keys[DEVICE, DS].public_key(), key_usage=DS, entity_id=DEVICE
    )


def by_an_expired_authority(bench: CertificationBench) -> GBCSCertificate:
    """Add an issuing authority of devices that expired yesterday, and issue by it."""
    root = open_keystore(bench.keystore).issuer(Authority.ROOT)
    signer = Authorities().root.signer
    start = root.certificate.not_before
    certificate = issuing_certificate(
        root,
        Issuance(serial=77, not_before=start, not_after=NOW - timedelta(seconds=1)),
        common_name="Z9",
        public_key=signer.public_key,
        role=None,
    )
    write_certificate(bench.keystore, "device-issuing.9", certificate)
    return device_certificate(
        Issuer(signer, certificate),
        serial=1 << 70,
        not_before=start,
        entity_id=DEVICE,
        key_usage=DS,
        public_key=bench.keys[DEVICE, DS].public_key(),
    )


def not_signed_by_whom_it_names(bench: CertificationBench) -> GBCSCertificate:
    return Remake(bench.certified()).signed()


def with_another_end(bench: CertificationBench) -> GBCSCertificate:
    right = bench.certified()
    issuer = open_keystore(bench.keystore).issuer(Authority.DEVICE_ISSUING)
    assert isinstance(issuer, Issuer)
    remade = Remake(right).changing(not_after=NOW + timedelta(days=300))
    return remade.signed()


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda bench: bench.certified(entity_id=OTHER), "entity"),
        (lambda bench: bench.certified(key_usage=KA), "use"),
        (lambda bench: bench.certified(public_key=generate_key().public_key()), "wrong-key"),
        (
            lambda bench: bench.certified(public_key=generate_key().public_key(), entity_id=OTHER),
            "no-request",
        ),
        (lambda bench: bench.certified(not_before=LATER + timedelta(days=1)), "valid"),
        (other_pki, "no-trust-anchor"),
        (by_an_expired_authority, "valid"),
        (not_signed_by_whom_it_names, "signature"),
        (with_another_end, ""),
    ],
)
def test_wrong_certificate_is_refused_by_name_and_changes_nothing(
    bench: CertificationBench, make: Callable[[CertificationBench], GBCSCertificate], rule: str
) -> None:
    bench.waiting()
    wrong = make(bench)
    before = everything(bench)
    (refused,) = taken(bench, wrong)
    assert refused.is_refused
    assert rule in refused.rule
    assert refused.rule
    assert refused.source == "file 1"
    assert everything(bench) == before
    (right,) = taken(bench, bench.certified())
    assert right.is_taken


def test_wrong_one_among_right_ones_costs_them_nothing(bench: CertificationBench) -> None:
    bench.waiting(DS)
    bench.waiting(KA)
    came = taken(bench, bench.certified(DS, entity_id=OTHER), bench.certified(KA))
    assert [each.is_taken for each in came] == [False, True]


def test_two_certificates_for_one_key_are_both_refused(bench: CertificationBench) -> None:
    """Nobody but the authority knows which of them it means to stand."""
    bench.waiting(DS)
    bench.waiting(KA)
    first, second = bench.certified(), bench.certified()
    before = everything(bench)
    came = taken(bench, first, second, first)
    assert [each.rule for each in came] == ["several-certificates"] * 3
    assert everything(bench) == before
    came = taken(bench, first, bench.certified(KA))
    assert all(each.is_taken for each in came)
    (late,) = taken(bench, second)
    assert late.rule == "certified-before"


def test_wrong_one_beside_the_right_one_of_a_key_does_not_make_two(
    bench: CertificationBench,
) -> None:
    bench.waiting()
    came = taken(bench, other_pki(bench), bench.certified())
    assert [each.is_taken for each in came] == [False, True]


def test_certificate_that_arrives_after_its_request_was_given_up_is_refused_as_that(
    bench: CertificationBench,
) -> None:
    void(bench.ledger, bench.waiting(), "lost by the courier", NOW)
    late = bench.certified()
    before = everything(bench)
    (refused,) = taken(bench, late)
    assert refused.rule == "request-void"
    assert "given up" in refused.outcome
    assert everything(bench) == before
    # The device's next request is not confused with it.
    bench.waiting()
    (refused,) = taken(bench, late)
    assert refused.rule == "request-void"


def test_certificate_whose_change_was_given_up_after_it_came_is_refused_when_it_comes_again(
    bench: CertificationBench,
) -> None:
    request = bench.waiting()
    certificate = bench.certified()
    assert taken(bench, certificate)[0].is_taken
    bench.ledger.key_changes.abandoned(request.change.id, NOW, detail="wrong public key (3)")
    (refused,) = taken(bench, certificate)
    assert refused.rule == "request-void"


def test_certificate_of_a_request_that_a_crash_kept_from_being_noted_is_taken(
    bench: CertificationBench,
) -> None:
    """The files are there, and the process ended before the ledger had that it waits."""
    change = bench.received()
    (came,) = taken(bench, bench.certified())
    assert came.is_taken
    assert bench.again(change).state is ISSUED


def test_certificate_that_a_run_took_meanwhile_is_no_crash(
    bench: CertificationBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bench.waiting(DS), bench.waiting(KA)
    certificate, other = bench.certified(DS), bench.certified(DS)
    issued = bench.issued
    check = issued.check

    def slow(*arguments: Any) -> None:
        check(*arguments)
        if bench.again(first.change).state is WAITING:
            record_issued(
                bench.ledger, first.change, other, bench.issued, NOW, authority="command x"
            )

    monkeypatch.setattr(issued, "check", slow)
    came = list(take_in(bench.ledger, given(certificate, bench.certified(KA)), issued, LATER))
    assert [each.rule for each in came] == ["certified-before", ""]
    assert came[1].is_taken
    assert bench.again(first.change).certificate == other.der
    assert bench.again(second.change).state is ISSUED
    assert not kept(bench, certificate)


def test_what_was_taken_before_the_key_store_failed_is_told(
    bench: CertificationBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.waiting(DS)
    last = bench.waiting(KA)
    issued = bench.issued
    keep = issued.keep

    def fill(certificate: GBCSCertificate) -> None:
        if certificate.key_usage is not KeyUsage.DIGITAL_SIGNATURE:
            raise KeyStoreError("the key store", "No space left on device", "make room")
        keep(certificate)

    monkeypatch.setattr(issued, "keep", fill)
    coming = iter(
        take_in(bench.ledger, given(bench.certified(DS), bench.certified(KA)), issued, LATER)
    )
    assert next(coming).is_taken
    with pytest.raises(KeyStoreError):
        next(coming)
    (request,) = waiting_requests(bench.ledger, LATER)
    assert request.change.id == last.change.id


def test_files_that_a_crash_left_go_when_the_certificate_comes_again(
    bench: CertificationBench,
) -> None:
    change = bench.submitted(ByHandAuthority(bench.requests_folder))
    certificate = bench.certified()
    bench.ledger.key_changes.certificate_issued(change.id, certificate.der, NOW)
    assert len(list(bench.requests_folder.glob("*.csr.*"))) == 2
    taken(bench, certificate)
    visible = {p.name for p in bench.requests_folder.iterdir() if p.name[0] != "."}
    assert visible == {LIST_FILE}


def test_request_of_a_device_that_left_the_rig_is_certified_all_the_same(
    bench: CertificationBench,
) -> None:
    """It was never adopted here; nothing but its change is known."""
    bench.waiting(DS, OTHER)
    (came,) = taken(bench, bench.certified(DS, OTHER))
    assert came.is_taken


def test_key_store_without_a_root_refuses_everything(bench: CertificationBench) -> None:
    bench.waiting()
    right = bench.certified()
    (bench.keystore / "root.pem").unlink()
    (refused,) = taken(bench, right)
    assert refused.is_refused
