"""Frames as octets.

Written by hand from the layouts of ZCL 8, 2.4.1, and of ZSE 1.4 (C.3, D.3, D.6): no capture of a
Smart Energy tunnel was found in public.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zigpy.zcl import foundation

from gbcs.protocol_errors import DecodeError, LocalProtocolError
from zse.smart_energy_commands import (
    COMMANDS,
    CloseTunnel,
    Command,
    ConfigureMirror,
    ConfirmKeyDataRequest,
    ConfirmKeyDataResponse,
    DefaultResponse,
    Direction,
    EphemeralDataRequest,
    EphemeralDataResponse,
    GetSupportedTunnelProtocols,
    InitiateKeyEstablishmentRequest,
    InitiateKeyEstablishmentResponse,
    MirrorReportAttributeResponse,
    RequestMirror,
    RequestMirrorResponse,
    RequestTunnel,
    RequestTunnelResponse,
    SupportedTunnelProtocolsResponse,
    TerminateByInitiator,
    TerminateByResponder,
    TransferData,
    TransferDataError,
    TransferDataErrorToClient,
    TransferDataToClient,
    TunnelClosureNotification,
)
from zse.zcl_frames import (
    FRAME_OCTETS_LIMIT,
    Frame,
    General,
    Unknown,
    decode_frame,
    encode_frame,
)

CERTIFICATE = bytes(range(74))
EPHEMERAL = bytes(range(100, 137))
SMAC = bytes(range(16))

VECTORS = [
    (RequestTunnel(6, 0xFFFF, False, 1500), "01 2A 00 06 FFFF 00 DC05"),
    (RequestTunnelResponse(0x1234, 0, 1500), "19 2A 00 3412 00 DC05"),
    (RequestTunnelResponse(0xFFFF, 2, 1500), "19 2A 00 FFFF 02 DC05"),
    (CloseTunnel(0x1234), "01 2A 01 3412"),
    (TransferData(0x1234, b"\xdd\x00"), "01 2A 02 3412 DD00"),
    (TransferDataToClient(0x1234, b"\xdf"), "09 2A 01 3412 DF"),
    (TransferDataError(0x1234, 2), "11 2A 03 3412 02"),
    (TransferDataErrorToClient(0x1234, 0), "19 2A 02 3412 00"),
    (GetSupportedTunnelProtocols(0), "01 2A 06 00"),
    (
        SupportedTunnelProtocolsResponse(True, ((0xFFFF, 6), (0x1234, 199))),
        "19 2A 05 01 02 FFFF06 3412C7",
    ),
    (TunnelClosureNotification(0x1234), "19 2A 06 3412"),
    (
        InitiateKeyEstablishmentRequest(2, 20, 30, CERTIFICATE),
        "01 2A 00 0200 14 1E" + CERTIFICATE.hex(),
    ),
    (
        InitiateKeyEstablishmentResponse(2, 20, 30, CERTIFICATE),
        "19 2A 00 0200 14 1E" + CERTIFICATE.hex(),
    ),
    (EphemeralDataRequest(EPHEMERAL), "01 2A 01" + EPHEMERAL.hex()),
    (EphemeralDataResponse(EPHEMERAL), "19 2A 01" + EPHEMERAL.hex()),
    (ConfirmKeyDataRequest(SMAC), "01 2A 02" + SMAC.hex()),
    (ConfirmKeyDataResponse(SMAC), "19 2A 02" + SMAC.hex()),
    (TerminateByInitiator(2, 30, 2), "11 2A 03 02 1E 0200"),
    (TerminateByResponder(5, 0, 2), "19 2A 03 05 00 0200"),
    (RequestMirror(), "09 2A 01"),
    (RequestMirrorResponse(0x0021), "11 2A 01 2100"),
    (ConfigureMirror(1, 1800, True, 2), "09 2A 08 01000000 080700 01 02"),
    (
        MirrorReportAttributeResponse(2, (1 << 21, 0, 0, 0x40, 0)),
        "11 2A 09 02 00002000 00000000 00000000 40000000 00000000",
    ),
]


@pytest.mark.parametrize(("command", "octets"), VECTORS, ids=lambda v: type(v).__name__)
def test_octets_of_every_command(command: Command, octets: str) -> None:
    written = encode_frame(command, sequence=0x2A)
    assert written == bytes.fromhex(octets)
    frame = decode_frame(command.cluster_id, written)
    assert frame.command == command
    assert frame.sequence == 0x2A
    assert frame.wants_default_response == (written[0] & 0x10 == 0)


def test_every_command_has_its_octets() -> None:
    assert {type(command) for command, _ in VECTORS} == set(COMMANDS.values())


def test_default_response_octets() -> None:
    response = DefaultResponse(0x01, 0x8B, Direction.TO_CLIENT)
    assert encode_frame(response, sequence=7) == bytes.fromhex("18 07 0B 01 8B")
    assert decode_frame(0x0704, bytes.fromhex("18070B018B")).command == response
    assert decode_frame(0x0704, bytes.fromhex("10070B02C3")).command == DefaultResponse(
        2, 0xC3, Direction.TO_SERVER
    )


def test_a_wish_for_no_default_response_is_written() -> None:
    octets = encode_frame(CloseTunnel(1), sequence=1, wants_default_response=False)
    assert octets == bytes.fromhex("11 01 01 0100")
    assert not decode_frame(0x0704, octets).wants_default_response


def test_reading_the_notification_flags_is_a_general_command() -> None:
    frame = decode_frame(0x0702, bytes.fromhex("08 05 00 0000"))
    assert isinstance(frame.command, General)
    assert frame.command.command_id == foundation.GeneralCommand.Read_Attributes
    assert frame.command.direction is Direction.TO_CLIENT
    schema = foundation.GENERAL_COMMANDS[foundation.GeneralCommand.Read_Attributes].schema
    payload, _ = schema.deserialize(frame.command.payload)
    assert list(payload.as_dict()["attribute_ids"]) == [0]


def test_what_is_not_known_is_told_apart() -> None:
    assert decode_frame(0x0704, bytes.fromhex("010577")) == Frame(
        5, Unknown(0x77, Direction.TO_SERVER, is_cluster_command=True, manufacturer_code=None)
    )
    assert decode_frame(0x0704, bytes.fromhex("0D 3412 05 01")).command == Unknown(
        1, Direction.TO_CLIENT, is_cluster_command=True, manufacturer_code=0x1234
    )
    assert decode_frame(0x0704, bytes.fromhex("0005EE")).command == Unknown(
        0xEE, Direction.TO_SERVER, is_cluster_command=False, manufacturer_code=None
    )
    assert isinstance(decode_frame(0x9999, bytes.fromhex("010500")).command, Unknown)


def test_octets_behind_the_last_field_are_passed_over() -> None:
    frame = decode_frame(0x0704, bytes.fromhex("19 2A 00 3412 00 DC05 AABB"))
    assert frame.command == RequestTunnelResponse(0x1234, 0, 1500)


def test_a_status_without_a_name_is_read() -> None:
    frame = decode_frame(0x0704, bytes.fromhex("19 2A 00 3412 77 DC05"))
    assert frame.command == RequestTunnelResponse(0x1234, 0x77, 1500)


@pytest.mark.parametrize(
    ("cluster_id", "octets"),
    [
        (0x0704, ""),
        (0x0704, "01"),
        (0x0704, "0105"),
        (0x0704, "05 3412 05"),
        (0x0704, "02 05 00"),
        (0x0704, "03 05 00"),
        (0x0704, "19 2A 00 3412 00 DC"),
        (0x0704, "01 2A 02 34"),
        (0x0704, "19 2A 05 01 02 FFFF06"),
        (0x0800, "01 2A 00 0200 14"),
        (0x0800, "19 2A 03 05 00 02"),
        (0x0702, "11 2A 09 02 000020"),
        (0x0704, "18 07 0B 01"),
        (0x0704, "01 2A 02 3412" + "00" * FRAME_OCTETS_LIMIT),
    ],
)
def test_damaged_frames_are_refused(cluster_id: int, octets: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_frame(cluster_id, bytes.fromhex(octets))
    assert caught.value.layer == "ZCL"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "sequence"),
    [
        (CloseTunnel(0x10000), 1),
        (CloseTunnel(-1), 1),
        (CloseTunnel(1), 256),
        (CloseTunnel(1), -1),
        (DefaultResponse(256, 0, Direction.TO_CLIENT), 1),
    ],
)
def test_values_that_do_not_fit_are_the_callers_mistake(
    command: Command | DefaultResponse, sequence: int
) -> None:
    with pytest.raises(LocalProtocolError):
        encode_frame(command, sequence=sequence)


@given(
    st.sampled_from([0x0702, 0x0704, 0x0800, 0x0000]),
    st.binary(max_size=200),
)
def test_any_octets_give_a_frame_or_a_decode_error(cluster_id: int, octets: bytes) -> None:
    try:
        frame = decode_frame(cluster_id, octets)
    except DecodeError:
        return
    assert 0 <= frame.sequence <= 0xFF
    if isinstance(frame.command, Command):
        again = encode_frame(
            frame.command,
            sequence=frame.sequence,
            wants_default_response=frame.wants_default_response,
        )
        assert decode_frame(cluster_id, again) == frame


@given(st.sampled_from(VECTORS), st.data())
def test_one_changed_octet_never_raises_anything_else(
    vector: tuple[Command, str], data: st.DataObject
) -> None:
    octets = bytearray.fromhex(vector[1])
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        assert isinstance(decode_frame(vector[0].cluster_id, bytes(octets)), Frame)


def test_an_error_names_the_field_and_where_it_starts() -> None:
    with pytest.raises(DecodeError) as caught:
        decode_frame(0x0704, bytes.fromhex("19 2A 00 3412 00 DC"))
    assert str(caught.value) == (
        "ZCL: RequestTunnelResponse.maximum_incoming_transfer_size: missing or cut short, "
        "at octet 6 (DC)"
    )
    with pytest.raises(LocalProtocolError, match=r"CloseTunnel\.tunnel_id has a value"):
        encode_frame(CloseTunnel(0x10000), sequence=1)


def test_key_confirmation_is_not_shown() -> None:
    assert SMAC.hex() not in repr(ConfirmKeyDataRequest(SMAC)).lower()
    assert "authentication" not in repr(ConfirmKeyDataResponse(SMAC))
