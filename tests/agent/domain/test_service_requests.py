from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from authorities import REFERENCE_MESSAGES, SHARED, needs
from duis.duis_enumerations import CANCELLED
from duis.request_documents import build_request, parse_request, request_of
from duis.xml_documents import SIGNATURE
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from gbcs.protocol_errors import LocalProtocolError
from gbcs.roles import KeyUsage, RemotePartyRole
from gbcs.security_credentials import (
    NEVER,
    AuthorisingRemotePartyControl,
    CredentialsReplacementMode,
    KeyUsageCommand,
    ProvideCredentialsCommand,
    TrustAnchorCellIdentifier,
    UpdateCredentialsCommand,
)
from gbcs.use_cases import MessageCode, decode_payload
from keyrig.base.errors import NoServiceRequest
from keyrig.domain.dcc_made_commands import asked_command
from keyrig.domain.service_requests import Users, service_request

TEMPLATES = SHARED / "duis" / "templates"
BROKER = EntityIdentifier.parse("90b3d51f30000002")
COS = EntityIdentifier.parse("90b3d51f30000004")
SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
OPERATOR = EntityIdentifier.parse("90b3d51f30020000")
USERS = Users(
    supplier=SUPPLIER,
    access_control_broker=BROKER,
    transitional_cos=COS,
    import_mpxn="1312345678333",
)
BY_THE_DCC = (
    "CS02aMAC_6.24.1_SUCCESS",
    "CS02bNOByNOHandover_6.21_SUCCESS",
    "CS02bSupplierBySupplierHandover_6.21_SUCCESS",
    "CS02bSupplierByTransCoS_6.23_IMMEDIATE_SUCCESS",
)
BY_THE_PARTY = (
    "CS02bSupplierBySupplier_6.15.1_IMMEDIATE_SUCCESS",
    "CS02c_6.17_SUCCESS",
    "CS02d_6.15.2_SUCCESS",
    "CS02e_6.24.2_SUCCESS",
)


def template(name: str) -> bytes:
    return (TEMPLATES / f"{name}_REQUEST_DUIS.XML").read_bytes()


def command(name: str) -> tuple[Message, Any]:
    text = (REFERENCE_MESSAGES / f"{name}_COMMAND_GBCS.HEX").read_text()
    message = Message.parse(bytes.fromhex(text.strip()))
    decoded = decode_payload(message)
    assert decoded is not None
    return message, decoded.value


def renewed(payload: Any, name: str) -> Any:
    """Give the payload with the template's certificates: they are newer than the message's."""
    if not isinstance(payload, UpdateCredentialsCommand):
        return payload
    root = etree.fromstring(template(name))
    texts = [
        (etree.QName(each).localname, base64.b64decode(each.text or ""))
        for each in root.iter("{*}*")
        if etree.QName(each).localname.endswith("Certificate")
    ]
    path = tuple(der for element, der in texts if element == "Certificate")
    new = [der for element, der in texts if element != "Certificate"]
    return replace(
        payload,
        replacements=tuple(
            replace(each, replacement_certificate=der)
            for each, der in zip(payload.replacements, new, strict=True)
        ),
        certification_path_certificates=path,
    )


def canonical(document: bytes) -> bytes:
    parser = etree.XMLParser(remove_blank_text=True, remove_comments=True)
    root = etree.fromstring(document, parser)
    for signature in root.findall(SIGNATURE):
        root.remove(signature)
    etree.cleanup_namespaces(root)
    return etree.tostring(root, method="c14n", exclusive=True)


@needs(TEMPLATES)
@needs(REFERENCE_MESSAGES)
@pytest.mark.parametrize("name", [*BY_THE_DCC, *BY_THE_PARTY])
def test_request_for_a_reference_command_is_the_template(name: str) -> None:
    message, payload = command(name)
    asked = service_request(
        message.header.message_code, renewed(payload, name), message.header.originator, USERS
    )
    assert asked.is_critical is (name in BY_THE_PARTY)
    request_id = parse_request(template(name), name).header.request_id
    assert asked.originator == request_id.originator
    built = build_request(request_of(asked.body, request_id))
    assert canonical(built) == canonical(template(name))


@needs(TEMPLATES)
@needs(REFERENCE_MESSAGES)
@pytest.mark.parametrize("name", BY_THE_DCC)
def test_command_that_the_dcc_makes_of_a_template_is_the_reference_command(name: str) -> None:
    message, payload = command(name)
    asked = asked_command(
        parse_request(template(name), name).body, message.header.originator_counter, USERS
    )
    assert (asked.message_code, asked.originator) == (
        message.header.message_code,
        message.header.originator,
    )
    assert asked.payload == renewed(payload, name)


def update(mode: CredentialsReplacementMode, **control: Any) -> UpdateCredentialsCommand:
    return UpdateCredentialsCommand(
        authorising_remote_party_control=AuthorisingRemotePartyControl(
            credentials_replacement_mode=mode, authorising_remote_party_seq_number=7, **control
        ),
        replacements=(),
        certification_path_certificates=(),
    )


@pytest.mark.parametrize(
    "mode",
    [
        CredentialsReplacementMode.ACCESS_CONTROL_BROKER_BY_ACB,
        CredentialsReplacementMode.WAN_PROVIDER_BY_WAN_PROVIDER,
        CredentialsReplacementMode.ANY_EXCEPT_ABNORMAL_ROOT_BY_RECOVERY,
    ],
)
def test_what_the_dcc_replaces_of_its_own_no_user_can_ask_for(
    mode: CredentialsReplacementMode,
) -> None:
    with pytest.raises(NoServiceRequest, match="the DCC alone"):
        service_request(mode.message_code, update(mode), BROKER, USERS)


@pytest.mark.parametrize("originator", [BROKER, COS])
@pytest.mark.parametrize(
    ("code", "payload"),
    [
        (MessageCode.ISSUE_CREDENTIALS, KeyUsageCommand(key_usage=KeyUsage.DIGITAL_SIGNATURE)),
        (MessageCode.UPDATE_DEVICE_CERTIFICATE, b"\x30\x00"),
        (
            MessageCode.PROVIDE_DEVICE_CERTIFICATE,
            KeyUsageCommand(key_usage=KeyUsage.KEY_AGREEMENT),
        ),
    ],
)
def test_critical_commands_of_the_dcc_no_user_can_ask_for(
    originator: EntityIdentifier, code: MessageCode, payload: Any
) -> None:
    with pytest.raises(NoServiceRequest, match="DCC's own to send"):
        service_request(code, payload, originator, USERS)


def test_question_by_another_authority_than_the_brokers_is_refused() -> None:
    asked = ProvideCredentialsCommand(
        authorising_remote_party_ta_cell_identifier=TrustAnchorCellIdentifier(
            role=RemotePartyRole.SUPPLIER, key_usage=KeyUsage.DIGITAL_SIGNATURE
        ),
        remote_party_roles_credentials_required=(RemotePartyRole.SUPPLIER,),
    )
    with pytest.raises(NoServiceRequest, match="not the broker's"):
        service_request(MessageCode.PROVIDE_CREDENTIALS, asked, SUPPLIER, USERS)


@needs(REFERENCE_MESSAGES)
def test_change_of_supplier_without_a_meter_point_says_where_to_put_it() -> None:
    message, payload = command("CS02bSupplierByTransCoS_6.23_IMMEDIATE_SUCCESS")
    with pytest.raises(NoServiceRequest, match="mpxn"):
        service_request(message.header.message_code, payload, COS, replace(USERS, import_mpxn=None))


@needs(REFERENCE_MESSAGES)
def test_nobody_asks_where_the_rig_names_no_supplier() -> None:
    message, payload = command("CS02aMAC_6.24.1_SUCCESS")
    with pytest.raises(NoServiceRequest, match="no supplier"):
        service_request(message.header.message_code, payload, BROKER, replace(USERS, supplier=None))


@needs(REFERENCE_MESSAGES)
def test_network_operator_asks_for_its_own_replacement() -> None:
    message, payload = command("CS02bNOByNO_6.15.1_SUCCESS")
    asked = service_request(message.header.message_code, payload, OPERATOR, USERS)
    assert (asked.originator, asked.is_critical) == (OPERATOR, True)
    assert asked.body.SERVICE_REFERENCE_VARIANT == "6.15.1"  # type: ignore[union-attr]
    assert asked.body.remote_party_role is RemotePartyRole.NETWORK_OPERATOR  # type: ignore[union-attr]


@needs(REFERENCE_MESSAGES)
def test_cancellation_has_the_instant_that_never_comes_in_duis() -> None:
    message, payload = command("CS02bSupplierBySupplier_6.15.1_CANCELLATION_SUCCESS")
    assert payload.execution_date_time == NEVER
    asked = service_request(message.header.message_code, payload, SUPPLIER, USERS)
    assert asked.body.execution_date_time == CANCELLED  # type: ignore[union-attr]


@needs(TEMPLATES)
@pytest.mark.parametrize("name", BY_THE_PARTY)
def test_dcc_makes_no_command_of_a_critical_request_by_itself(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="makes no command"):
        asked_command(parse_request(template(name), name).body, 1, USERS)
