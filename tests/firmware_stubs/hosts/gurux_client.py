"""A process of its own: the gurux client connects, sends one message and prints what comes back.

Arguments: TCP port, longest information field, message in hexadecimal.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

from gurux_dlms import GXByteBuffer, GXDLMSClient, GXReplyData
from gurux_dlms.enums import Authentication, Command, InterfaceType, RequestTypes
from gurux_dlms.GXDLMS import GXDLMS

LLC_COMMAND = bytes.fromhex("E6E600")
FLAG = 0x7E
HANG_S = 300.0
"""As `patience.HANG_S`; this is a program by itself, with no other file of the tests beside it."""


def read_frame(line: socket.socket) -> bytes:
    """Read from the opening flag to the length that the frame states."""
    octets = b""
    while len(octets) < 3 or len(octets) < (int.from_bytes(octets[1:3], "big") & 0x7FF) + 2:
        more = line.recv(1)
        if not more:
            raise SystemExit("the device hung up")
        octets += more
    if octets[0] != FLAG or octets[-1] != FLAG:
        raise SystemExit(f"no frame: {octets.hex()}")
    return octets


def exchange(line: socket.socket, client: Any, request: bytes, reply: Any) -> int:
    """Send one frame and let gurux decode the answer; give its control field."""
    line.sendall(bytes(request))
    answer = GXByteBuffer(read_frame(line))
    control = GXDLMS.getHdlcData(False, client.settings, answer, reply, None)
    if not reply.complete:
        raise SystemExit("gurux does not take the answer for a frame")
    if reply.error:
        raise SystemExit(f"gurux: error {reply.error}")
    GXDLMS.getDataFromFrame(answer, reply, True)
    return int(control)


def main() -> None:
    """Connect, send, collect, disconnect."""
    port, information_octets, message = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    client: Any = GXDLMSClient(True, 16, 1, Authentication.NONE, None, InterfaceType.HDLC)
    client.hdlcSettings.maxInfoTX = client.hdlcSettings.maxInfoRX = information_octets
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as line:
        answer = GXReplyData()
        control = exchange(line, client, client.snrmRequest(), answer)
        if control != Command.UA:
            raise SystemExit(f"control field 0x{control:02X} is no UA")
        client.parseUAResponse(answer.data)
        negotiated = {
            "information_octets_tx": int(client.hdlcSettings.maxInfoTX),
            "information_octets_rx": int(client.hdlcSettings.maxInfoRX),
            "window_tx": int(client.hdlcSettings.windowSizeTX),
            "window_rx": int(client.hdlcSettings.windowSizeRX),
        }
        data = GXByteBuffer(LLC_COMMAND + bytes.fromhex(message))
        frame_kind, sent, controls = 0, 0, []
        answer = GXReplyData()
        while data.position != len(data):
            request = GXDLMS.getHdlcFrame(client.settings, frame_kind, data)
            sent += 1
            answer = GXReplyData()
            controls.append(exchange(line, client, request, answer))
            if data.position != len(data):
                frame_kind = client.settings.getNextSend(False)
        received = 1
        while answer.moreData & RequestTypes.FRAME:
            exchange(line, client, client.receiverReady(RequestTypes.FRAME), answer)
            received += 1
        farewell = GXReplyData()
        control = exchange(line, client, client.disconnectRequest(True), farewell)
    json.dump(
        {
            "negotiated": negotiated,
            "sent": sent,
            "controls": controls,
            "received": received,
            "farewell": control,
            "message": bytes(answer.data.array()).hex(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
