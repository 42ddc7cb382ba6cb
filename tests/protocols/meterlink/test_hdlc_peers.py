"""Frames exchanged with dlms-cosem 21.3.2 and gurux_dlms 1.0.203."""

from __future__ import annotations

from typing import Any

import pytest
from dlms_cosem.hdlc import address as cosem_address
from dlms_cosem.hdlc import frames as cosem
from gurux_dlms import GXByteBuffer, GXDLMSClient, GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType
from gurux_dlms.GXDLMS import GXDLMS

from meterlink.hdlc import HDLCAddress, LinkParameters, PrimaryStation, SecondaryStation
from meterlink.hdlc.hdlc_frames import Frame, FrameKind, decode_frame, encode_frame
from meterlink.link_events import NEED_DATA, Connected, MessageReceived

pytestmark = pytest.mark.peer

CLIENT = HDLCAddress.client(16)
SERVER = HDLCAddress.server(1)
COSEM_CLIENT = cosem_address.HdlcAddress(16, None, "client")
COSEM_SERVER = cosem_address.HdlcAddress(1, None, "server")


def connected_ends(parameters: LinkParameters) -> tuple[PrimaryStation, SecondaryStation]:
    primary = PrimaryStation(own=CLIENT, peer=SERVER, parameters=parameters)
    secondary = SecondaryStation(own=SERVER, peer=CLIENT, parameters=parameters)
    primary.connect()
    secondary.receive_data(primary.data_to_send(0.0), 0.0)
    primary.receive_data(secondary.data_to_send(0.0), 0.0)
    assert isinstance(primary.next_event(), Connected)
    assert isinstance(secondary.next_event(), Connected)
    return primary, secondary


@pytest.mark.parametrize("information_octets", [1, 128, 1000, 2030])
def test_dlms_cosem_decodes_our_information_frame(information_octets: int) -> None:
    frame = Frame(
        CLIENT,
        SERVER,
        FrameKind.I,
        poll_final=False,
        send_sequence=6,
        receive_sequence=3,
        segmented=True,
        information=bytes(number % 256 for number in range(information_octets)),
    )
    theirs = cosem.InformationFrame.from_bytes(encode_frame(frame))
    assert theirs.payload == frame.information
    assert (theirs.send_sequence_number, theirs.receive_sequence_number) == (6, 3)
    assert theirs.segmented
    assert not theirs.final
    assert theirs.destination_address.logical_address == 16
    assert theirs.source_address.logical_address == 1


def test_dlms_cosem_decodes_our_rr_disc_ua_and_ui() -> None:
    ready = Frame(CLIENT, SERVER, FrameKind.RR, receive_sequence=5)
    assert cosem.ReceiveReadyFrame.from_bytes(encode_frame(ready)).receive_sequence_number == 5
    end = cosem.DisconnectFrame.from_bytes(encode_frame(Frame(SERVER, CLIENT, FrameKind.DISC)))
    assert end.source_address.logical_address == 16
    accepted = Frame(CLIENT, SERVER, FrameKind.UA, information=b"\x81\x80\x00")
    theirs = cosem.UnNumberedAcknowledgmentFrame.from_bytes(encode_frame(accepted))
    assert theirs.payload == b"\x81\x80\x00"
    told = Frame(CLIENT, SERVER, FrameKind.UI, information=b"\xe6\xe7\x00\x01")
    assert (
        cosem.UnnumberedInformationFrame.from_bytes(encode_frame(told)).payload
        == b"\xe6\xe7\x00\x01"
    )


def test_we_decode_what_dlms_cosem_makes() -> None:
    theirs = [
        cosem.SetNormalResponseModeFrame(COSEM_SERVER, COSEM_CLIENT),
        cosem.DisconnectFrame(COSEM_SERVER, COSEM_CLIENT),
        cosem.ReceiveReadyFrame(COSEM_SERVER, COSEM_CLIENT, receive_sequence_number=7),
        cosem.InformationFrame(
            COSEM_SERVER,
            COSEM_CLIENT,
            payload=bytes(range(200)),
            send_sequence_number=1,
            receive_sequence_number=2,
        ),
    ]
    assert [decode_frame(frame.to_bytes()[1:-1]) for frame in theirs] == [
        Frame(SERVER, CLIENT, FrameKind.SNRM),
        Frame(SERVER, CLIENT, FrameKind.DISC),
        Frame(SERVER, CLIENT, FrameKind.RR, receive_sequence=7),
        Frame(
            SERVER,
            CLIENT,
            FrameKind.I,
            send_sequence=1,
            receive_sequence=2,
            information=bytes(range(200)),
        ),
    ]


def test_every_frame_of_a_conversation_is_one_to_dlms_cosem() -> None:
    primary, secondary = connected_ends(LinkParameters(300, 300, 1, 1))
    primary.send_message(bytes(1000))
    received = b""
    for _ in range(4):
        octets = primary.data_to_send(0.0)
        received += cosem.InformationFrame.from_bytes(octets).payload
        secondary.receive_data(octets, 0.0)
        answer = secondary.data_to_send(0.0)
        assert cosem.ReceiveReadyFrame.from_bytes(answer).final
        primary.receive_data(answer, 0.0)
    assert received == bytes.fromhex("E6E600") + bytes(1000)


def gurux_client(information_octets: int = 128, window: int = 1) -> Any:
    client = GXDLMSClient(True, 16, 1, Authentication.NONE, None, InterfaceType.HDLC)
    client.hdlcSettings.maxInfoTX = client.hdlcSettings.maxInfoRX = information_octets
    client.hdlcSettings.windowSizeTX = client.hdlcSettings.windowSizeRX = window
    return client


def test_gurux_reads_the_parameters_that_we_answer() -> None:
    client = gurux_client(1500, 7)
    secondary = SecondaryStation(
        own=SERVER, peer=CLIENT, parameters=LinkParameters(900, 1200, 5, 3)
    )
    secondary.receive_data(bytes(client.snrmRequest()), 0.0)
    assert secondary.next_event() == Connected(900, 1200, 5, 3)
    reply = GXReplyData()
    octets = GXByteBuffer(secondary.data_to_send(0.0))
    assert GXDLMS.getHdlcData(False, client.settings, octets, reply, None) == 0x73
    GXDLMS.getDataFromFrame(octets, reply, True)
    client.parseUAResponse(reply.data)
    settings = client.hdlcSettings
    assert (settings.maxInfoTX, settings.maxInfoRX) == (1200, 900)
    assert (settings.windowSizeTX, settings.windowSizeRX) == (3, 5)


def test_association_request_of_gurux_is_a_message() -> None:
    client = gurux_client()
    secondary = SecondaryStation(own=SERVER, peer=CLIENT)
    secondary.receive_data(bytes(client.snrmRequest()), 0.0)
    assert isinstance(secondary.next_event(), Connected)
    secondary.data_to_send(0.0)
    (request,) = client.aarqRequest()
    secondary.receive_data(bytes(request), 0.0)
    event = secondary.next_event()
    assert isinstance(event, MessageReceived)
    assert event.octets[0] == 0x60
    assert secondary.next_event() is NEED_DATA
