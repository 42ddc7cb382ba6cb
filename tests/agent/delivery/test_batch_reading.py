from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from authorities import REFERENCE_MESSAGES, needs
from duis.document_errors import DocumentInvalid
from duis.document_headers import RequestIdentifier, ResponseHeader
from duis.response_documents import (
    LocalCommand,
    PreCommand,
    Response,
    ResponseMessage,
    build_response,
)
from keyrig.base.errors import SettingsError
from keyrig.delivery.batch_reading import (
    COMMANDS_MAXIMUM,
    FILE_MAXIMUM_OCTETS,
    commands_in,
    read_commands,
)

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = RequestIdentifier.parse("90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000")
RESPONDED_AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
COMMAND = bytes.fromhex(
    "DD000000000000471100000000DF090100000000000005160890B3D51F300000020800DB1234567890A0000200"
    "08133011300702010403020308300602010202010300A3E451CDC680B824B9DAE4CF"
)
"""CS02a of the reference data: RTDS 4.5.0, CS02aMAC_6.24.1_SUCCESS_COMMAND."""
DOCUMENT = f"""<?xml version="1.0" encoding="UTF-8"?>
<sr:Response xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">
  <sr:Header>
    <sr:RequestID>{REQUEST}</sr:RequestID>
    <sr:ResponseID>00-DB-12-34-56-78-90-A0:90-B3-D5-1F-30-01-00-00:1000</sr:ResponseID>
    <sr:ResponseCode>I0</sr:ResponseCode>
    <sr:ResponseDateTime>2026-11-24T09:30:00.00Z</sr:ResponseDateTime>
  </sr:Header>
  <sr:Body>
    <sr:ResponseMessage>
      <sr:ServiceReference>6.24</sr:ServiceReference>
      <sr:ServiceReferenceVariant>6.24.1</sr:ServiceReferenceVariant>
      <sr:LocalCommand>
        <sr:GBCSPayload>
          3QAAAAAAAEcRAAAAAN8JAQAAAAAAAAUWCJCz1R8wAAACCADbEjRWeJCgAAIACBMwETAHAgEE
          AwIDCDAGAgECAgEDAKPkUc3GgLgkudrkzw==
        </sr:GBCSPayload>
      </sr:LocalCommand>
    </sr:ResponseMessage>
  </sr:Body>
</sr:Response>
"""


def response(body: PreCommand | ResponseMessage | None, code: str = "I0") -> bytes:
    header = ResponseHeader(
        request_id=REQUEST,
        response_id=REQUEST.answered(),
        response_code=code,
        response_date_time=RESPONDED_AT,
    )
    return build_response(Response(header=header, body=body, service_reference_variant="6.24.1"))


def test_local_command_of_a_duis_response_comes_with_its_request_and_time() -> None:
    (given,) = commands_in(DOCUMENT.encode(), "a.xml")
    assert given.octets == COMMAND
    assert given.request_id == REQUEST
    assert given.responded_at == RESPONDED_AT
    assert given.source == "a.xml"


@needs(REFERENCE_MESSAGES)
def test_reference_hex_file_is_read_as_it_is() -> None:
    path = REFERENCE_MESSAGES / "CS02aMAC_6.24.1_SUCCESS_COMMAND_GBCS.HEX"
    (given,) = read_commands([path])
    assert given.octets == COMMAND
    assert given.request_id is None


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (response(PreCommand(gbcs_version="4.1", gbcs_payload=b"x")), "holds a pre-command"),
        (response(ResponseMessage(gbcs_payload=b"x")), "holds a device's response"),
        (response(None, "E17"), "holds no command, but response code E17"),
    ],
)
def test_response_without_a_local_command_says_what_it_holds(document: bytes, reason: str) -> None:
    with pytest.raises(DocumentInvalid, match=reason):
        commands_in(document, "a.xml")


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY a "b">]>' + DOCUMENT.split("?>", 1)[1],
        DOCUMENT.replace("3QAAAAAAAEcR", "3QAAAAAAAEcR!"),
        DOCUMENT.replace("</sr:GBCSPayload>", "=</sr:GBCSPayload>"),
        DOCUMENT.replace("sr:Response ", "sr:Request ").replace("sr:Response>", "sr:Request>"),
        DOCUMENT[:400],
        "<a>" * 200 + "</a>" * 200,
        "<a/>",
    ],
)
def test_hostile_or_foreign_document_is_refused(document: str) -> None:
    with pytest.raises(DocumentInvalid):
        commands_in(document.encode(), "a.xml")


@pytest.mark.parametrize(
    "octets",
    [b"", b"  \n", b"DD0", b"not hexadecimal", b"\x00" * 40, "DÐ".encode("utf-16")[2:], b"\x7fELF"],
)
def test_file_that_is_neither_document_nor_message_is_refused(octets: bytes) -> None:
    with pytest.raises((SettingsError, DocumentInvalid)):
        commands_in(octets, "a.hex")


def test_several_messages_in_one_file_are_told_apart() -> None:
    text = f"{COMMAND.hex()}\n{COMMAND.hex().upper()}\n"
    given = commands_in(text.encode(), "a.hex")
    assert [each.source for each in given] == ["a.hex, message 1", "a.hex, message 2"]


def test_folder_is_read_in_the_order_of_its_names_with_digits_as_numbers(tmp_path: Path) -> None:
    for name in ("10.hex", "9.HEX", "2-b.xml", "2-a.hex"):
        text = DOCUMENT if name.endswith("xml") else COMMAND.hex()
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "readme.txt").write_text("not ours", encoding="utf-8")
    given = read_commands([tmp_path])
    assert [each.source.rpartition("/")[2] for each in given] == [
        "2-a.hex",
        "2-b.xml",
        "9.HEX",
        "10.hex",
    ]


def test_folder_without_commands_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"it holds no \*\.hex"):
        read_commands([tmp_path])


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_commands([tmp_path / "no.hex"])


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.hex")
    with pytest.raises(SettingsError, match="no regular file"):
        read_commands([tmp_path / "a.hex"])


def test_huge_file_is_refused_without_being_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.hex"
    with path.open("wb") as file:
        file.truncate(FILE_MAXIMUM_OCTETS * 1000)
    with pytest.raises(SettingsError, match="more than"):
        read_commands([path])


def test_batch_of_too_many_commands_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hex"
    path.write_text(f"{COMMAND.hex()}\n" * (COMMANDS_MAXIMUM + 1), encoding="ascii")
    with pytest.raises(SettingsError, match="commands in one batch"):
        read_commands([path])


def test_control_characters_in_a_name_are_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31m.hex"
    path.write_bytes(b"zz")
    with pytest.raises(SettingsError) as caught:
        read_commands([path])
    assert "\x1b" not in str(caught.value)


def test_built_response_is_read_back() -> None:
    header = ResponseHeader(
        request_id=None, response_id=None, response_code="I0", response_date_time=RESPONDED_AT
    )
    document = build_response(
        Response(
            header=header,
            body=LocalCommand(gbcs_payload=COMMAND),
            service_reference_variant="6.24.1",
        )
    )
    (given,) = commands_in(document, "a.xml")
    assert given.octets == COMMAND
    assert given.request_id is None
