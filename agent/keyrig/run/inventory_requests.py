"""Reading the Smart Metering Inventory through the DCC (8.2), and taking in what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duis.document_headers import RequestIdentifier
from duis.request_documents import ReadInventory, build_request, request_of
from duis.response_codes import Outcome
from duis.response_documents import parse_response
from gbcs.protocol_errors import SecurityError
from keyrig.base.errors import DCCNotBelieved, SettingsError
from keyrig.base.observing import unobserved
from keyrig.config.places import make_data_folder, places_of
from keyrig.domain.states import ServiceDocumentKind
from keyrig.keys.rig_keys import RigKeys
from keyrig.ledger.ledger import Ledger
from keyrig.ledger.service_documents import About
from keyrig.run.inventory_facts import read_inventory, take_in
from keyrig.run.outlook import facts_of
from keyrig.run.rig_organisations import keystore_of
from keyrig.transports.dcc.dcc_service import connected, dcc_boxed_settings
from keyrig.transports.dcc.duis_client import WebService
from keyrig.transports.dcc.pending_requests import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.rig_file import Rig
    from keyrig.run.inventory_facts import Inventory
    from keyrig.transports.dcc.dcc_service import DCCService

SERVICE = WebService.NON_DEVICE


def fetch_inventory(
    rig: Rig, only: Collection[EntityIdentifier], clock: Callable[[], datetime]
) -> dict[str, Any]:
    """Read the inventory for devices of a rig, and take in what it says of them.

    Each is asked for by the supplier that acts on it; what an answer says of others is taken
    in with it, and they are not asked for again.

    Args:
        rig: The rig, whose key store signs.
        only: The devices; all where empty.
        clock: Gives the present instant.

    Returns:
        What `keyrig.run.inventory_facts.take_in` gives, of all answers.

    Raises:
        SettingsError: The settings name no DCC Boxed, or the rig no supplier for a device.
        ServiceRefused: The DCC refuses a request.
        DCCNotBelieved: An answer does not verify.
        DCCUnreachable: The DCC's interface does not answer.
        DocumentInvalid: An answer cannot be read.
        KeyStoreError: A key is missing or locked.
    """
    settings, places = dcc_boxed_settings(), places_of(rig)
    make_data_folder(places.data_folder)
    store = keystore_of(places, unobserved, clock())
    told: dict[str, Any] = {"devices": [], "without_duties": []}
    with (
        Ledger(places.ledger) as ledger,
        connected(
            settings,
            places.data_folder,
            ledger=ledger,
            keys=RigKeys(store),
            broker=rig.dcc.access_control_broker,
            clock=clock,
        ) as service,
    ):
        known = facts_of(places, ledger, now=clock())
        for entity in only or known:
            if any(device["entity_id"] == str(entity) for device in told["devices"]):
                continue
            supplier = known[entity].record.facts.lead_supplier
            if supplier is None:
                raise SettingsError(
                    f"rig {rig.name}", f"names no supplier for {entity}", "say who it is there"
                )
            asking = RequestIdentifier(
                supplier,
                rig.dcc.access_control_broker,
                ledger.counters.reserve(supplier, clock()),
            )
            inventory = _ask(service, ledger, asking, entity, clock)
            taken = take_in(ledger, inventory, clock())
            told["devices"] += taken["devices"]
            told["without_duties"] += taken["without_duties"]
    return told


def _ask(
    service: DCCService,
    ledger: Ledger,
    request_id: RequestIdentifier,
    entity: EntityIdentifier,
    clock: Callable[[], datetime],
) -> Inventory:
    what = f"Read Inventory of {entity}"
    request = build_request(request_of(ReadInventory(device_id=entity), request_id))
    document = service.signer.sign(request, request_id.originator)
    about = About(device=entity, request_id=str(request_id))
    ledger.service_documents.record(
        document,
        kind=ServiceDocumentKind.REQUEST,
        service=SERVICE.value,
        now=clock(),
        about=about,
    )
    answer = service.client.post(SERVICE, document, what)
    source = f"the answer of {SERVICE.value}"
    try:
        believed = service.verifier.verify(answer, source)
    except SecurityError as error:
        raise DCCNotBelieved(
            what, str(error), "correct dcc_boxed.response_certificates in the settings"
        ) from error
    ledger.service_documents.record(
        answer,
        kind=ServiceDocumentKind.ANSWER,
        service=SERVICE.value,
        now=clock(),
        about=about,
        signer=believed.signer,
    )
    response = parse_response(believed.octets, source)
    if response.header.request_id != request_id:
        raise DCCNotBelieved(
            what, f"{source} is to another request", "see what stands between here and the DCC"
        )
    if response.header.outcome is Outcome.ERROR:
        raise refused(what, response.header.response_code)
    return read_inventory(believed.octets, source)
