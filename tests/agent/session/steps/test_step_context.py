from __future__ import annotations

import pytest

from agent.session.steps.driving import ROLE, cell, context
from authorities import DEVICE, SUPPLIER
from gbcs.roles import DeviceType
from keyrig.domain.trust_anchor import Cell


def test_held_key_identifier_is_that_of_the_very_cell_or_unknown() -> None:
    held = cell(ROLE.SUPPLIER)
    known = Cell(
        role=held.role,
        key_usage=held.key_usage,
        cell_usage=held.cell_usage,
        entity_id=SUPPLIER,
        subject_key_identifier=b"\x22" * 8,
    )
    knowing = context(known_cells={held: known})
    assert knowing.held_key_identifier(held) == b"\x22" * 8
    assert knowing.held_key_identifier(cell(ROLE.ACCESS_CONTROL_BROKER)) is None


@pytest.mark.parametrize("device_type", DeviceType)
def test_only_a_chf_is_a_hub_function(device_type: DeviceType) -> None:
    assert context(device_type).is_hub_function is (device_type is DeviceType.CHF)
    assert context(device_type).device == DEVICE
