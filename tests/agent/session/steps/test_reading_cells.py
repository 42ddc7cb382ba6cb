from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from agent.session.steps.driving import (
    BROKER,
    DS,
    FIRST_EXCHANGE,
    KA,
    MANAGEMENT,
    NETWORK,
    ROLE,
    TOP_UP,
    Driver,
    authorities,
    cell,
    contents,
    context,
    details,
)
from authorities import SUPPLIER, Remake
from gbcs.security_credentials import ProvideCredentialsCommand, RemotePartyDetails, StatusCode
from keyrig.domain.trust_anchor import Cell
from keyrig.session.steps.effects import Script, StepFailed, StepResult
from keyrig.session.steps.reading_cells import CellsRead, key_identifier, read_cells

if TYPE_CHECKING:
    from gbcs.roles import RemotePartyRole

ASKED = (ROLE.SUPPLIER, ROLE.NETWORK_OPERATOR)
SUPPLIERS = details(
    ROLE.SUPPLIER,
    contents(SUPPLIER, DS, key=b"\x01" * 8),
    contents(SUPPLIER, KA, TOP_UP, key=b"\x02" * 8),
)
NETWORKS = details(ROLE.NETWORK_OPERATOR, contents(NETWORK, KA, key=b"\x03" * 8))
CELLS = (
    Cell(
        role=ROLE.SUPPLIER,
        key_usage=DS,
        cell_usage=MANAGEMENT,
        entity_id=SUPPLIER,
        subject_key_identifier=b"\x01" * 8,
    ),
    Cell(
        role=ROLE.SUPPLIER,
        key_usage=KA,
        cell_usage=TOP_UP,
        entity_id=SUPPLIER,
        subject_key_identifier=b"\x02" * 8,
    ),
    Cell(
        role=ROLE.NETWORK_OPERATOR,
        key_usage=KA,
        cell_usage=MANAGEMENT,
        entity_id=NETWORK,
        subject_key_identifier=b"\x03" * 8,
    ),
)


def reading(
    driver: Driver, *roles: RemotePartyRole, refused: bool = False
) -> CellsRead | StepFailed:
    """Read cells by a script of its own, and give what came of it."""
    found: list[CellsRead] = []

    def script() -> Script:
        found.append((yield from read_cells(context(), *roles)))
        return StepResult("", ())

    if not refused:
        driver.run(script())
        return found[0]
    with pytest.raises(StepFailed) as failed:
        driver.run(script())
    return failed.value


def read(*answer: RemotePartyDetails, roles: tuple[RemotePartyRole, ...] = ASKED) -> CellsRead:
    cells = reading(Driver(answer), *roles)
    assert isinstance(cells, CellsRead)
    return cells


def test_cells_are_asked_for_by_the_brokers_key_agreement_cell_and_recorded() -> None:
    driver = Driver((SUPPLIERS, NETWORKS))
    cells = reading(driver, *ASKED)
    assert driver.trace == ["0008 by broker, repeatable", "record"]
    assert driver.payload() == ProvideCredentialsCommand(
        authorising_remote_party_ta_cell_identifier=cell(ROLE.ACCESS_CONTROL_BROKER, KA),
        remote_party_roles_credentials_required=ASKED,
    )
    assert driver.asks[0].detail == "supplier, networkOperator"
    assert driver.asks[0].signing_key_identifier is None
    assert driver.recorded == [CELLS]
    assert isinstance(cells, CellsRead)
    assert (cells.cells, cells.exchange_id) == (CELLS, FIRST_EXCHANGE)


def test_cells_are_given_by_role_and_by_their_whole_name() -> None:
    cells = read(SUPPLIERS, NETWORKS)
    assert cells.of(ROLE.SUPPLIER) == CELLS[:2]
    assert cells.of(ROLE.NETWORK_OPERATOR) == CELLS[2:]
    assert cells.at(cell(ROLE.SUPPLIER, KA, TOP_UP)) == CELLS[1]


@pytest.mark.parametrize("key_usage", [DS, KA])
def test_cell_of_the_right_role_and_another_usage_is_not_taken_for_it(key_usage: object) -> None:
    asked = cell(ROLE.SUPPLIER, KA) if key_usage is KA else cell(ROLE.SUPPLIER, DS, TOP_UP)
    with pytest.raises(StepFailed) as failed:
        read(SUPPLIERS, NETWORKS).at(asked)
    assert str(failed.value) == f"the device has no cell {asked}"


def test_role_that_the_device_refuses_is_named_with_what_it_says() -> None:
    refused = details(ROLE.NETWORK_OPERATOR, status=StatusCode.TRUST_ANCHOR_NOT_FOUND)
    cells = read(SUPPLIERS, refused)
    assert cells.cells == CELLS[:2]
    with pytest.raises(StepFailed) as failed:
        cells.of(ROLE.NETWORK_OPERATOR)
    assert str(failed.value) == (
        "asked for its networkOperator cells, the device answers trust_anchor_not_found (25)"
    )
    with pytest.raises(StepFailed, match="asked for its root cells, the device answers nothing"):
        cells.of(ROLE.ROOT)


def test_cells_of_a_role_that_failed_are_not_believed() -> None:
    refused = details(ROLE.SUPPLIER, contents(SUPPLIER), status=StatusCode.OTHER)
    with pytest.raises(StepFailed, match=r"other \(127\)"):
        read(refused, roles=(ROLE.SUPPLIER,)).of(ROLE.SUPPLIER)


def test_success_without_a_cell_is_no_answer_to_whom_the_device_trusts() -> None:
    with pytest.raises(StepFailed) as failed:
        read(details(ROLE.SUPPLIER), roles=(ROLE.SUPPLIER,)).of(ROLE.SUPPLIER)
    assert str(failed.value) == "asked for its supplier cells, the device answers that it has none"


@pytest.mark.parametrize(
    "answer", [(NETWORKS, SUPPLIERS), (SUPPLIERS,), (SUPPLIERS, NETWORKS, NETWORKS), ()]
)
def test_answer_for_other_roles_than_asked_is_refused_and_not_recorded(
    answer: tuple[RemotePartyDetails, ...],
) -> None:
    driver = Driver(answer)
    failed = reading(driver, *ASKED, refused=True)
    assert str(failed) == (
        f"the device answers for {len(answer)} roles in another order than asked"
    )
    assert driver.recorded == []


def test_certificate_without_a_key_identifier_is_named_by_its_party() -> None:
    bare = Remake(authorities().organisation()).without(x509.SubjectKeyIdentifier).signed()
    with pytest.raises(StepFailed, match=f"certificate of {SUPPLIER} has no key identifier"):
        key_identifier(bare)
    assert len(key_identifier(authorities().organisation())) == 8


def test_broker_and_not_the_supplier_asks() -> None:
    driver = Driver((SUPPLIERS,))
    reading(driver, ROLE.SUPPLIER)
    assert driver.asks[0].originator == BROKER
