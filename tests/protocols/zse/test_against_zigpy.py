"""Declarations held against zigpy's own, where zigpy has the command: Metering's, and general ones.

zigpy has Tunneling and Key Establishment as empty shells; their octets are in `test_frames`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import zigpy.zcl.clusters.smartenergy as zigpy_own
from hypothesis import given
from hypothesis import strategies as st
from zigpy.zcl import foundation

from zse.smart_energy_commands import (
    COMMANDS,
    KEY_ESTABLISHMENT,
    METERING,
    TUNNELING,
    Command,
    ConfigureMirror,
    DefaultResponse,
    Direction,
    FunctionalNotification,
    MirrorReportAttributeResponse,
    RequestMirror,
    RequestMirrorResponse,
)
from zse.smart_energy_enumerations import SMART_ENERGY_PROFILE
from zse.zcl_frames import GENERAL_COMMANDS, decode_frame, encode_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER_OCTETS = 3


def zigpy_commands(direction: Direction) -> Mapping[int, Any]:
    if direction is Direction.TO_SERVER:
        return zigpy_own.Metering.server_commands
    return zigpy_own.Metering.client_commands


METERING_COMMANDS = st.one_of(
    st.just(RequestMirror()),
    st.builds(RequestMirrorResponse, st.integers(0, 0xFFFF)),
    st.builds(
        ConfigureMirror,
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**24 - 1),
        st.booleans(),
        st.integers(0, 0xFF),
    ),
    st.builds(
        MirrorReportAttributeResponse,
        st.integers(0, 0xFF),
        st.lists(st.integers(0, 2**32 - 1), max_size=8).map(tuple),
    ),
)


def test_the_protocols_import_no_zigpy() -> None:
    program = (
        "import pkgutil, sys, importlib, duis, gbcs, meterlink, zse\n"
        "for package in (duis, gbcs, meterlink, zse):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "assert not [name for name in sys.modules if name.startswith(('zigpy', 'bellows'))]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_clusters_and_profile_have_zigpys_identifiers() -> None:
    assert zigpy_own.Metering.cluster_id == METERING
    assert zigpy_own.Tunneling.cluster_id == TUNNELING
    assert zigpy_own.KeyEstablishment.cluster_id == KEY_ESTABLISHMENT
    assert SMART_ENERGY_PROFILE == 0x0109


def test_zigpy_has_no_definitions_of_its_own_for_the_other_clusters() -> None:
    for shell in (zigpy_own.Tunneling, zigpy_own.KeyEstablishment):
        assert shell.server_commands == {}
        assert shell.client_commands == {}


def test_commands_of_metering_have_zigpys_names_and_fields() -> None:
    found = [each for each in COMMANDS.values() if each.cluster_id == METERING]
    assert len(found) == 4
    for command in found:
        theirs = zigpy_commands(command.direction)[command.command_id]
        assert theirs.name.replace("_", "") == command.__name__.lower()
        assert [each.name for each in theirs.schema.fields] == list(command.field_types)


@given(METERING_COMMANDS)
def test_zigpy_writes_and_reads_metering_as_we_do(command: Command) -> None:
    schema = zigpy_commands(command.direction)[command.command_id].schema
    values = {name: getattr(command, name) for name in command.field_types}
    if isinstance(command, MirrorReportAttributeResponse):
        values["notification_flags"] = list(command.notification_flags)
    theirs = schema(**values).serialize()
    assert encode_frame(command, sequence=0)[HEADER_OCTETS:] == theirs
    read, rest = schema.deserialize(theirs)
    assert not rest
    assert read.as_dict() == values


def test_zigpy_reads_a_wish_for_a_default_response() -> None:
    header, _ = foundation.ZCLHeader.deserialize(encode_frame(RequestMirror(), sequence=7))
    assert header.frame_control.is_cluster
    assert not header.frame_control.disable_default_response


@pytest.mark.parametrize("direction", Direction)
def test_zigpy_reads_the_header_that_we_write(direction: Direction) -> None:
    response = DefaultResponse(3, 0x8B, direction)
    octets = encode_frame(response, sequence=7)
    header, payload = foundation.ZCLHeader.deserialize(octets)
    assert header.frame_control.is_general
    assert int(header.direction) == direction
    assert header.frame_control.disable_default_response
    assert header.tsn == 7
    assert header.command_id == foundation.GeneralCommand.Default_Response
    schema = foundation.GENERAL_COMMANDS[foundation.GeneralCommand.Default_Response].schema
    assert schema.deserialize(payload)[0].as_dict() == {"command_id": 3, "status": 0x8B}
    assert decode_frame(METERING, octets).command == response


def test_general_commands_are_those_of_zigpy() -> None:
    assert {int(each) for each in foundation.GENERAL_COMMANDS} == set(GENERAL_COMMANDS)


def test_flag_bits_are_those_of_zigpy() -> None:
    for flag in FunctionalNotification:
        theirs, _ = zigpy_own.FunctionalNotificationFlags.deserialize(flag.to_bytes(4, "little"))
        assert getattr(theirs, str(flag.name).lower())
