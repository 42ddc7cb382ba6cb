from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import pytest
import zigpy.zcl.clusters.smartenergy as zigpy_own
from zigpy.endpoint import Endpoint
from zigpy.zcl import Cluster

from zse.clusters import (
    KeyEstablishment,
    MeteringMirror,
    Tunneling,
    register,
)
from zse.commands import COMMANDS, Direction, FunctionalNotification

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def registry() -> Iterator[dict[int, type[Cluster]]]:
    before = dict(Cluster._registry)
    yield Cluster._registry
    Cluster._registry.clear()
    Cluster._registry.update(before)


def endpoint() -> Endpoint:
    return Endpoint(MagicMock(), 1)


def test_importing_leaves_zigpy_as_it_is() -> None:
    program = (
        "import zse.frames, zse.clusters, zigpy.zcl.clusters.smartenergy as own\n"
        "from zigpy.zcl import Cluster\n"
        "assert Cluster._registry[0x0702] is own.Metering\n"
        "assert Cluster._registry[0x0704] is own.Tunneling\n"
        "assert Cluster._registry[0x0800] is own.KeyEstablishment\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_registering_puts_the_definitions_in_place_of_the_shells(
    registry: dict[int, type[Cluster]],
) -> None:
    assert zigpy_own.Tunneling.server_commands == {}
    register()
    register()
    assert registry[0x0704] is Tunneling
    assert registry[0x0800] is KeyEstablishment
    assert registry[0x0702] is zigpy_own.Metering
    assert isinstance(endpoint().add_input_cluster(0x0704), Tunneling)


def test_a_zigpy_cluster_reads_what_we_write() -> None:
    cluster = Tunneling(endpoint(), is_server=True)
    header, payload = cluster.deserialize(bytes.fromhex("1905000200 00 DC05"))
    assert header.tsn == 5
    assert payload == (2, Tunneling.TunnelStatus.Success, 1500)


def test_attributes_and_commands_have_the_identifiers_of_the_standard() -> None:
    assert {a.name: a.id for a in Tunneling.AttributeDefs} == {
        "close_tunnel_timeout": 0,
        "cluster_revision": 0xFFFD,
        "reporting_status": 0xFFFE,
    }
    assert {c.name: c.id for c in Tunneling.ServerCommandDefs} == {
        "request_tunnel": 0,
        "close_tunnel": 1,
        "transfer_data": 2,
        "transfer_data_error": 3,
        "ack_transfer_data": 4,
        "ready_data": 5,
        "get_supported_tunnel_protocols": 6,
    }
    assert [c.id for c in sorted(Tunneling.ClientCommandDefs, key=lambda c: c.id)] == list(range(7))
    assert sorted(c.id for c in KeyEstablishment.ServerCommandDefs) == [0, 1, 2, 3]
    assert sorted(c.id for c in KeyEstablishment.ClientCommandDefs) == [0, 1, 2, 3]
    assert KeyEstablishment.AttributeDefs.key_establishment_suite.zcl_type == 0x31
    flags = MeteringMirror.AttributeDefs
    assert [flags.functional_notification_flags.id, flags.notification_flags5.id] == [0, 4]
    assert {a.zcl_type for a in flags if "flags" in a.name} == {0x1B}


def test_the_mirror_keeps_the_commands_of_metering() -> None:
    assert MeteringMirror.server_commands[9].name == "mirror_report_attribute_response"
    assert MeteringMirror.client_commands[1].name == "request_mirror"


def test_flag_bits_are_those_of_zigpy() -> None:
    for flag in FunctionalNotification:
        theirs, _ = zigpy_own.FunctionalNotificationFlags.deserialize(flag.to_bytes(4, "little"))
        assert getattr(theirs, str(flag.name).lower())


def test_every_command_is_among_the_definitions() -> None:
    clusters = {0x0704: Tunneling, 0x0800: KeyEstablishment, 0x0702: zigpy_own.Metering}
    assert len({(c.cluster_id, c.direction, c.command_id) for c in COMMANDS}) == len(COMMANDS)
    for command in COMMANDS:
        cluster = clusters[command.cluster_id]
        known = (
            cluster.server_commands
            if command.direction is Direction.TO_SERVER
            else cluster.client_commands
        )
        names = {each.name for each in known[command.command_id].schema.fields}
        assert names == {each.name for each in fields(command)}, command
