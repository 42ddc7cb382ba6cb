from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from authorities import DEVICE, needs
from duis.document_headers import RequestIdentifier
from duis.request_documents import ReturnLocalCommandResponse, parse_request
from duis_schemas import TEMPLATES, assert_valid
from firmware_stubs.support import Role
from gbcs.entity_identifier import EntityIdentifier
from gbcs.message import Message
from homes.delivery_site import NOON, Site
from keyrig.base.errors import SettingsError
from keyrig.delivery.returned_answers import Returning, answer_document
from keyrig.domain.states import LocalCommandState, Verification
from keyrig.ledger.local_commands import LocalCommand

if TYPE_CHECKING:
    from pathlib import Path

SUPPLIER = EntityIdentifier.parse("90b3d51f30010000")
BROKER = EntityIdentifier.parse("90b3d51f30000002")
NAMESPACE = "{http://www.dccinterface.co.uk/ServiceUserGateway}"
TEMPLATE = TEMPLATES / "8.13_RETURN_LOCAL_COMMAND_RESPONSE_CS06_REQUEST_DUIS.XML"


def returning(directory: Path | None = None, **changes: EntityIdentifier | None) -> Returning:
    arguments = {"party": None, "supplier": SUPPLIER} | changes
    return Returning(
        party=arguments["party"],
        dcc=BROKER,
        organisations_of_dcc=frozenset({BROKER}),
        supplier=arguments["supplier"],
        directory=directory,
    )


def said(root: etree._Element) -> list[tuple[str, str]]:
    """Give what Header and Body of a request say, element by element."""
    return [
        (str(each.tag), (each.text or "").strip())
        for part in root.iterchildren(f"{NAMESPACE}Header", f"{NAMESPACE}Body")
        for each in part.iter("*")
    ]


@needs(TEMPLATES)
def test_document_is_the_template_but_for_its_signature() -> None:
    template = etree.parse(TEMPLATE).getroot()
    told = {str(each.tag).removeprefix(NAMESPACE): each.text for each in template.iter("*")}
    answer = base64.b64decode(told["DeviceGBCSResponse"] or "")
    header = Message.parse(answer).header
    command = LocalCommand(
        id=1,
        batch_id="0" * 32,
        position=1,
        device=header.originator,
        originator=header.recipient,
        counter=header.originator_counter,
        message_code=header.message_code,
        request_id=told["OriginalRequestID"] or "",
        source="",
        octets=b"",
        digest="",
        remarks="",
        expires_at=NOON,
        state=LocalCommandState.ANSWERED,
        sendings=1,
        first_sent_at=NOON,
        last_sent_at=NOON,
        answer=answer,
        verification=Verification.VERIFIED,
        detail="",
        settled_at=NOON,
        return_id=told["RequestID"] or "",
    )
    document = answer_document(command)
    made = etree.fromstring(document)
    assert said(made) == said(template)
    assert_valid(document)


def test_documents_are_valid_and_say_which_request_they_answer(tmp_path: Path) -> None:
    site = Site(tmp_path)
    commands = (site.bench.issue(11), site.bench.provide(12, Role.ROOT))
    with site.ledger() as ledger:
        given = (
            *site.given(commands[0]),
            *site.given(b"", commands[1], with_request_ids=False)[1:],
        )
        site.deliver(ledger, site.take_in(ledger, given))
    kept = site.commands()
    paths = sorted((tmp_path / "answers").iterdir())
    milliseconds = int(NOON.timestamp() * 1000)
    assert [path.name for path in paths] == [
        f"8.13_{DEVICE.stem}_{milliseconds}_{site.supplier.stem}_11.xml",
        f"8.13_{DEVICE.stem}_{milliseconds + 1}_{site.broker.stem}_12.xml",
    ]
    for path, command in zip(paths, kept, strict=True):
        assert_valid(path.read_bytes())
        request = parse_request(path.read_bytes(), path.name)
        assert request.header.service_reference_variant == "8.13"
        assert request.header.request_id.originator == site.supplier
        assert request.header.request_id.target == site.broker
        assert isinstance(request.body, ReturnLocalCommandResponse)
        assert request.body.device_gbcs_response == command.answer
    bodies = [parse_request(path.read_bytes(), path.name).body for path in paths]
    assert [getattr(body, "original_request_id", "") for body in bodies] == [
        RequestIdentifier(site.supplier, DEVICE, 1001),
        None,
    ]
    assert kept[0].return_id != kept[1].return_id


def test_answer_is_returned_by_whom_a_person_names_or_whoever_asked() -> None:
    other = EntityIdentifier.parse("90b3d51f30030000")
    request = str(RequestIdentifier(SUPPLIER, DEVICE, 5))
    assert returning(party=other).party_for(request, SUPPLIER) == other
    assert returning().party_for(request, BROKER) == SUPPLIER
    assert returning().party_for("", other) == other
    assert returning().party_for("", BROKER) == SUPPLIER
    with pytest.raises(SettingsError, match="--return-as"):
        returning(supplier=None).party_for("", BROKER)


def test_nothing_is_sent_that_nobody_could_return(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.returning = Returning(
        party=None,
        dcc=site.broker,
        organisations_of_dcc=frozenset({site.broker}),
        supplier=None,
    )
    given = site.given(site.bench.provide(12, Role.ROOT), with_request_ids=False)
    with site.ledger() as ledger:
        batch = site.take_in(ledger, given)
        with pytest.raises(SettingsError, match="nothing says who returns it"):
            site.deliver(ledger, batch)
    assert not site.link.opened


def test_nothing_is_sent_where_the_folder_for_answers_cannot_be_made(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "answers").write_text("a file", encoding="ascii")
    with site.ledger() as ledger:
        batch = site.take_in(ledger, site.given(site.bench.issue(11)))
        with pytest.raises(SettingsError, match="cannot be made"):
            site.deliver(ledger, batch)
    assert not site.link.opened
