from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from authorities import END, Authorities, Remake
from firmware_stubs.support import (
    BROKER_CELL,
    DS,
    ENTITIES,
    KA,
    SUPPLIER_CELLS,
    TOP_UP,
    Bench,
    Mode,
    Role,
    cell,
)
from gbcs import cosem_time
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import DeviceType
from gbcs.security_credentials import (
    RemotePartySeqNumberChange,
    SeqNumberUsage,
    SpecialistSeqNumber,
    StatusCode,
    TimeBasedCPVChecks,
    TrustAnchorCellIdentifier,
)
from meterstub.command_execution import EventCode
from meterstub.device_faults import FaultKind
from meterstub.device_options import DeviceOptions, RootReplacement
from meterstub.trust_anchor_cells import CELLS, NO_IDENTIFIER, ROOT_CELL

SUPPLIER_DS = SUPPLIER_CELLS[0]
NEW_SUPPLIER = EntityIdentifier.parse("90b3d51f30030000")
RECOVERY_CELL = cell(Role.RECOVERY, DS)
TOP_UP_FLOOR = (
    SpecialistSeqNumber(seq_number_usage=SeqNumberUsage.PREPAYMENT_TOP_UP, seq_number=77),
)
DISAPPLIED = {"apply_time_based_cpv_checks": TimeBasedCPVChecks.DISAPPLY}
MODES: list[tuple[DeviceType, Mode, TrustAnchorCellIdentifier | None, tuple[Any, ...]]] = [
    (DeviceType.ESME, Mode.SUPPLIER_BY_SUPPLIER, SUPPLIER_DS, SUPPLIER_CELLS),
    (
        DeviceType.ESME,
        Mode.NETWORK_OPERATOR_BY_NETWORK_OPERATOR,
        cell(Role.NETWORK_OPERATOR, DS),
        (cell(Role.NETWORK_OPERATOR, DS), cell(Role.NETWORK_OPERATOR, KA)),
    ),
    (DeviceType.GSME, Mode.ACCESS_CONTROL_BROKER_BY_ACB, None, (BROKER_CELL,)),
    (
        DeviceType.CHF,
        Mode.ACCESS_CONTROL_BROKER_BY_ACB,
        cell(Role.ACCESS_CONTROL_BROKER, DS),
        (cell(Role.ACCESS_CONTROL_BROKER, DS), BROKER_CELL),
    ),
    (
        DeviceType.CHF,
        Mode.WAN_PROVIDER_BY_WAN_PROVIDER,
        cell(Role.WAN_PROVIDER, DS),
        (cell(Role.WAN_PROVIDER, DS),),
    ),
    (
        DeviceType.HCALCS,
        Mode.TRANS_COS_BY_TRANS_COS,
        cell(Role.TRANSITIONAL_COS, DS),
        (cell(Role.TRANSITIONAL_COS, DS),),
    ),
    (
        DeviceType.PPMID,
        Mode.SUPPLIER_BY_TRANS_COS,
        cell(Role.TRANSITIONAL_COS, DS),
        SUPPLIER_CELLS[:2],
    ),
    (
        DeviceType.GPF,
        Mode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY,
        RECOVERY_CELL,
        tuple(which for which in CELLS[DeviceType.GPF] if which != ROOT_CELL),
    ),
]


@pytest.mark.parametrize(
    ("device_type", "mode", "by", "targets"),
    MODES,
    ids=lambda value: value.name if isinstance(value, Mode | DeviceType) else "",
)
def test_each_mode_replaces_its_cells(
    device_type: DeviceType,
    mode: Mode,
    by: TrustAnchorCellIdentifier | None,
    targets: tuple[TrustAnchorCellIdentifier, ...],
) -> None:
    bench = Bench(device_type)
    before = dict(bench.state.cells)
    new = {which: bench.pki.new_credential(which) for which in targets}
    command = bench.update(40, mode, *((w, c.der) for w, c in new.items()), by=by)
    response = bench.answer(command)
    bench.verify_signed(response, bench.state.key_pairs[DS].public_key)
    assert response.header.date_time == cosem_time.encode_date_time(bench.clock.now)
    assert dict(bench.state.cells) == before | {w: c.der for w, c in new.items()}
    assert [entry.code for entry in bench.state.log] == [EventCode.UPDATE_SECURITY_CREDENTIALS]


def outcomes_of(bench: Bench, command: bytes) -> Any:
    outcome = bench.payload_of(command).execution_outcome
    assert outcome is not None
    return outcome.replacement_outcomes


def test_outcome_names_the_pairs_before_and_after() -> None:
    bench = Bench()
    old = bench.pki.credential(SUPPLIER_DS).certificate
    new = bench.pki.new_credential(SUPPLIER_DS, entity_id=NEW_SUPPLIER)
    (outcome,) = outcomes_of(bench, bench.supplier_by_supplier(1, (new.der,)))
    assert outcome.status_code is StatusCode.SUCCESS
    assert outcome.existing_subject_unique_id == ENTITIES[Role.SUPPLIER]
    assert outcome.existing_subject_key_identifier == old.subject_key_identifier
    assert outcome.replacing_subject_unique_id == NEW_SUPPLIER
    assert outcome.replacing_subject_key_identifier == new.certificate.subject_key_identifier


def test_replaced_keys_are_in_force_for_the_next_command_and_not_before() -> None:
    bench = Bench(DeviceType.CHF)
    by = cell(Role.ACCESS_CONTROL_BROKER, DS)
    new = bench.pki.new_credential(BROKER_CELL)
    update = bench.update(1, Mode.ACCESS_CONTROL_BROKER_BY_ACB, (BROKER_CELL, new.der), by=by)
    assert bench.device.receive_message(update)
    assert bench.device.receive_message(bench.provide(2, Role.ROOT)) == []
    bench.pki._credentials[BROKER_CELL] = new
    assert bench.device.receive_message(bench.provide(2, Role.ROOT))


def remade(bench: Bench, **changes: Any) -> bytes:
    """The supplier's certificate with changes that no authority would sign."""
    original = bench.pki.new_credential(SUPPLIER_DS).certificate
    key = bench.pki.authorities.issuing.signer.key  # type: ignore[attr-defined]  # tests' signer
    return Remake(original).changing(**changes).signed(key).der


def wrong_certificates(bench: Bench) -> dict[str, tuple[bytes, StatusCode]]:
    pki, bad, none = bench.pki, StatusCode.BAD_CERTIFICATE, StatusCode.NO_TRUST_ANCHOR
    start, end = END - timedelta(days=2), END
    altered = bytearray(pki.new_credential(SUPPLIER_DS).der)
    altered[-1] ^= 1
    foreign = Authorities("F").issuing
    return {
        "no certificate": (b"\x30\x03\x02\x01\x00", bad),
        "another role": (pki.new_credential(cell(Role.NETWORK_OPERATOR, DS)).der, bad),
        "another use": (pki.new_credential(SUPPLIER_CELLS[1]).der, bad),
        "not yet valid": (pki.new_credential(SUPPLIER_DS, start=start, end=end).der, bad),
        "altered": (bytes(altered), bad),
        "an authority's": (pki.authorities.issuing.certificate.der, bad),
        "a device's": (pki.authorities.device().der, bad),
        "another hash": (remade(bench, hash=hashes.SHA384()), bad),
        "another root's": (pki.new_credential(SUPPLIER_DS, issuer=foreign).der, none),
    }


WRONG = [
    "no certificate",
    "another role",
    "another use",
    "not yet valid",
    "altered",
    "an authority's",
    "a device's",
    "another hash",
    "another root's",
]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_certificate_leaves_its_cell_and_the_others_are_replaced(name: str) -> None:
    bench = Bench()
    wrong, status = wrong_certificates(bench)[name]
    good = bench.pki.new_credential(SUPPLIER_CELLS[1])
    before = bench.state.cells[SUPPLIER_DS]
    first, second = outcomes_of(bench, bench.supplier_by_supplier(1, (wrong, good.der)))
    assert (first.status_code, second.status_code) == (status, StatusCode.SUCCESS)
    assert first.replacing_subject_unique_id == first.existing_subject_unique_id
    assert first.replacing_subject_key_identifier == first.existing_subject_key_identifier
    assert bench.state.cells[SUPPLIER_DS] == before
    assert bench.state.cells[SUPPLIER_CELLS[1]] == good.der


def test_no_path_certificate_is_no_trust_anchor() -> None:
    bench = Bench()
    for number, path in enumerate([(), (b"\x30\x00",)], start=1):
        outcomes = outcomes_of(bench, bench.supplier_by_supplier(number, path=path))
        assert {each.status_code for each in outcomes} == {StatusCode.NO_TRUST_ANCHOR}


def test_time_is_not_looked_at_when_the_command_disapplies_it() -> None:
    bench = Bench()
    new = bench.pki.new_credential(SUPPLIER_DS)
    bench.clock.now = END + timedelta(days=1)
    (outcome,) = outcomes_of(bench, bench.supplier_by_supplier(1, (new.der,)))
    assert outcome.status_code is StatusCode.BAD_CERTIFICATE
    command = bench.supplier_by_supplier(2, (new.der,), control=DISAPPLIED)
    (outcome,) = outcomes_of(bench, command)
    assert outcome.status_code is StatusCode.SUCCESS


def test_cell_that_the_type_has_not_is_not_found() -> None:
    bench = Bench(DeviceType.HCALCS)
    top_up = cell(Role.SUPPLIER, KA, TOP_UP)
    new = bench.pki.new_credential(top_up)
    command = bench.update(1, Mode.SUPPLIER_BY_SUPPLIER, (top_up, new.der), by=SUPPLIER_DS)
    (outcome,) = outcomes_of(bench, command)
    assert outcome.status_code is StatusCode.TRUST_ANCHOR_NOT_FOUND
    assert outcome.existing_subject_unique_id == NO_IDENTIFIER
    assert top_up not in bench.state.cells


def test_cell_without_room_is_told_and_the_others_are_replaced() -> None:
    bench = Bench()
    bench.device.faults.fail(FaultKind.STORAGE)
    outcomes = outcomes_of(bench, bench.supplier_by_supplier(1))
    assert [each.status_code for each in outcomes] == [
        StatusCode.INSUFFICIENT_MEMORY,
        StatusCode.SUCCESS,
        StatusCode.SUCCESS,
    ]


def test_own_floors_are_set_and_echoed() -> None:
    bench = Bench()
    control = {
        "new_remote_party_floor_seq_number": 5,
        "new_remote_party_specialist_floor_seq_number": TOP_UP_FLOOR,
    }
    outcome = bench.payload_of(bench.supplier_by_supplier(1000, control=control)).execution_outcome
    assert outcome.authorising_remote_party_seq_number == 1000
    (change,) = outcome.remote_party_seq_number_changes
    assert change.other_remote_party_role is Role.SUPPLIER
    assert change.other_remote_party_floor_seq_number == 5
    assert change.new_remote_party_specialist_floor_seq_number == TOP_UP_FLOOR
    assert bench.state.counters == {Role.SUPPLIER: 5}
    assert bench.state.top_up_floors == {Role.SUPPLIER: 77}


def other_change(role: Role, floor: int) -> RemotePartySeqNumberChange:
    return RemotePartySeqNumberChange(
        other_remote_party_role=role,
        other_remote_party_floor_seq_number=floor,
        new_remote_party_specialist_floor_seq_number=TOP_UP_FLOOR,
    )


def test_floors_of_another_role_are_set_and_the_own_counter_stays() -> None:
    bench = Bench()
    by = cell(Role.TRANSITIONAL_COS, DS)
    new = bench.pki.new_credential(SUPPLIER_DS, entity_id=NEW_SUPPLIER)
    change = other_change(Role.SUPPLIER, 9)
    command = bench.update(
        600,
        Mode.SUPPLIER_BY_TRANS_COS,
        (SUPPLIER_DS, new.der),
        by=by,
        control={"other_remote_party_seq_number_changes": (change,)},
    )
    outcome = bench.payload_of(command).execution_outcome
    assert outcome.remote_party_seq_number_changes == (change,)
    assert bench.state.counters == {Role.TRANSITIONAL_COS: 600, Role.SUPPLIER: 9}
    assert bench.state.top_up_floors == {Role.SUPPLIER: 77}


@pytest.mark.parametrize("needs_a_replacement", [True, False])
def test_floor_of_a_role_whose_cells_all_failed(needs_a_replacement: bool) -> None:  # noqa: FBT001 - a parameter
    bench = Bench(options=DeviceOptions(floors_need_a_replacement=needs_a_replacement))
    command = bench.supplier_by_supplier(
        1000, path=(), control={"new_remote_party_floor_seq_number": 5}
    )
    outcome = bench.payload_of(command).execution_outcome
    assert len(outcome.remote_party_seq_number_changes) == (0 if needs_a_replacement else 1)
    assert bench.state.counters == {Role.SUPPLIER: 1000 if needs_a_replacement else 5}


class TestRoot:
    """Replacing the root itself."""

    @staticmethod
    def command(bench: Bench, mode: Mode, root: bytes, *path: bytes) -> bytes:
        by: TrustAnchorCellIdentifier | None
        control: dict[str, Any] = {}
        if mode is Mode.ANY_BY_CONTINGENCY:
            by, control = None, {"plaintext_symmetric_key": bytes(16)}
        elif mode is Mode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY:
            by = RECOVERY_CELL
        elif mode is Mode.ROOT_BY_WAN_PROVIDER:
            by = cell(Role.WAN_PROVIDER, DS)
        else:
            by = SUPPLIER_DS
        return bench.update(1, mode, (ROOT_CELL, root), by=by, path=path, control=control)

    @staticmethod
    def link(bench: Bench, new: Authorities) -> bytes:
        """A certificate over the new root's key, by the current root's."""
        current = bench.pki.authorities.root
        authority_key = x509.AuthorityKeyIdentifier(
            current.certificate.subject_key_identifier, None, None
        )
        remake = Remake(new.root.certificate).changing(issuer=current.certificate.subject)
        remake.adding(authority_key, critical=False)
        return remake.signed(current.signer.key).der  # type: ignore[attr-defined]  # tests' signer

    @pytest.mark.parametrize(
        ("device_type", "mode"),
        [
            (DeviceType.ESME, Mode.ROOT_BY_SUPPLIER),
            (DeviceType.CHF, Mode.ROOT_BY_WAN_PROVIDER),
            (DeviceType.GSME, Mode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY),
        ],
    )
    def test_new_root_needs_a_link(self, device_type: DeviceType, mode: Mode) -> None:
        bench, new = Bench(device_type), Authorities("N")
        der = new.root.certificate.der
        (outcome,) = outcomes_of(bench, self.command(bench, mode, der))
        assert outcome.status_code is StatusCode.NO_TRUST_ANCHOR
        bench = Bench(device_type)
        command = self.command(bench, mode, der, self.link(bench, new))
        (outcome,) = outcomes_of(bench, command)
        assert outcome.status_code is StatusCode.SUCCESS
        assert bench.state.cells[ROOT_CELL] == der
        assert outcome.existing_subject_unique_id == bytes(8)
        assert outcome.replacing_subject_unique_id == bytes(8)

    def test_link_over_another_key_does_not_serve(self) -> None:
        bench = Bench()
        link = self.link(bench, Authorities("N"))
        root = Authorities("N").root.certificate.der
        (outcome,) = outcomes_of(bench, self.command(bench, Mode.ROOT_BY_SUPPLIER, root, link))
        assert outcome.status_code is StatusCode.NO_TRUST_ANCHOR

    def test_link_by_another_root_does_not_serve(self) -> None:
        bench, other, new = Bench(), Bench(), Authorities("N")
        link = self.link(other, new)
        command = self.command(bench, Mode.ROOT_BY_SUPPLIER, new.root.certificate.der, link)
        (outcome,) = outcomes_of(bench, command)
        assert outcome.status_code is StatusCode.NO_TRUST_ANCHOR

    def test_link_certificate_may_be_stored_itself(self) -> None:
        bench = Bench()
        link = self.link(bench, Authorities("N"))
        (outcome,) = outcomes_of(bench, self.command(bench, Mode.ROOT_BY_SUPPLIER, link))
        assert outcome.status_code is StatusCode.SUCCESS

    def test_option_trusts_a_self_signed_root(self) -> None:
        bench = Bench(options=DeviceOptions(root_replacement=RootReplacement.SELF_SIGNED))
        root = Authorities("N").root.certificate.der
        (outcome,) = outcomes_of(bench, self.command(bench, Mode.ROOT_BY_SUPPLIER, root))
        assert outcome.status_code is StatusCode.SUCCESS

    def test_root_that_nobody_signed_is_bad(self) -> None:
        bench = Bench(options=DeviceOptions(root_replacement=RootReplacement.SELF_SIGNED))
        forged = Remake(Authorities("N").root.certificate).signed().der
        (outcome,) = outcomes_of(bench, self.command(bench, Mode.ROOT_BY_SUPPLIER, forged))
        assert outcome.status_code is StatusCode.BAD_CERTIFICATE

    def test_contingency_replaces_the_root_and_what_hangs_from_it(self) -> None:
        bench, new = Bench(), Authorities("N")
        recovery = new.organisation(role=Role.RECOVERY, entity_id=ENTITIES[Role.RECOVERY])
        command = bench.update(
            1,
            Mode.ANY_BY_CONTINGENCY,
            (ROOT_CELL, new.root.certificate.der),
            (RECOVERY_CELL, recovery.der),
            by=None,
            path=(new.issuing.certificate.der,),
            control={
                "plaintext_symmetric_key": bytes(16),
                "new_remote_party_floor_seq_number": 0,
            },
        )
        outcome = bench.payload_of(command).execution_outcome
        assert {each.status_code for each in outcome.replacement_outcomes} == {StatusCode.SUCCESS}
        assert bench.state.cells[RECOVERY_CELL] == recovery.der
        (change,) = outcome.remote_party_seq_number_changes
        assert change.other_remote_party_role is Role.ROOT

    def test_organisation_certificate_cannot_become_the_root(self) -> None:
        bench = Bench()
        der = bench.pki.new_credential(SUPPLIER_DS).der
        command = self.command(bench, Mode.ANY_BY_CONTINGENCY, der)
        (outcome,) = outcomes_of(bench, command)
        assert outcome.status_code is StatusCode.BAD_CERTIFICATE
