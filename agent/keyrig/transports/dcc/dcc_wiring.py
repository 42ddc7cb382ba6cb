"""The links by service requests, made from the settings and the rig file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from duis.alert_messages import DCCAlertMessage
from duis.response_documents import parse_response
from keyrig.base import events
from keyrig.config.rig_file import ServiceSettings
from keyrig.domain.service_requests import Users
from keyrig.domain.states import ServiceDocumentKind
from keyrig.keys.rig_keys import RigKeys
from keyrig.transports.dcc.dcc_inbox import described
from keyrig.transports.dcc.dcc_receiver import Receiver
from keyrig.transports.dcc.dcc_service import connected, dcc_boxed_settings, smki_client
from keyrig.transports.dcc.service_conversation import tell_dcc_alert
from keyrig.transports.dcc.service_link import ServiceLink
from keyrig.transports.dcc.smki_client import SMKI
from keyrig.transports.dcc.smki_lookup import CertificateLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import KeyUsage
    from keyrig.base.observing import Observer
    from keyrig.config.rig_file import RigDevice
    from keyrig.domain.device_facts import DeviceFacts
    from keyrig.keys.key_store import KeyStore
    from keyrig.ledger.ledger import Ledger
    from keyrig.session.steps.step_context import Parties


@contextmanager
def service_links(
    data_folder: Path,
    store: KeyStore,
    ledger: Ledger,
    devices: Mapping[RigDevice, DeviceFacts],
    parties: Parties,
    *,
    clock: Callable[[], datetime],
    observe: Observer,
) -> Iterator[tuple[RigKeys, dict[EntityIdentifier, ServiceLink]]]:
    """Open the DCC's interface for the devices that are reached through it.

    Args:
        data_folder: The folder that relative paths in the settings start from.
        store: The key store.
        ledger: Records the documents.
        devices: The devices, each with its facts.
        parties: The DCC's organisations.
        clock: Returns the present instant.
        observe: Called with the event that says where answers are received.

    Yields:
        The keys, which look up what the store lacks, and a link to each device.

    Raises:
        SettingsError: The settings name no DCC Boxed, or a secret or file that cannot be read.
        ReceiverUnusable: The port for its answers cannot be opened.
    """
    settings = dcc_boxed_settings()
    is_device = {device.entity_id for device in devices}
    with ExitStack() as stack:
        smki = stack.enter_context(smki_client(settings, data_folder))
        lookup = CertificateLookup(SMKI(smki), store)

        def look_up(entity: EntityIdentifier, key_usage: KeyUsage) -> GBCSCertificate:
            return lookup.certificate(entity, key_usage, is_device=entity in is_device, at=clock())

        keys = RigKeys(store, look_up)
        broker = parties.access_control_broker
        service = stack.enter_context(
            connected(settings, data_folder, ledger=ledger, keys=keys, broker=broker, clock=clock)
        )
        receiver = stack.enter_context(
            Receiver(settings.receive, settings.receive_path, service.inbox.take)
        )
        observe(events.Receiving(address=receiver.address, path=settings.receive_path))
        links = {}
        for device, facts in devices.items():
            way = device.link
            assert isinstance(way, ServiceSettings)
            users = Users(
                supplier=facts.lead_supplier,
                access_control_broker=broker,
                transitional_cos=parties.transitional_cos,
                import_mpxn=way.mpxn,
            )
            links[device.entity_id] = ServiceLink(
                device=device.entity_id,
                service=service,
                users=users,
                timeout_s=way.timeout_s or settings.response_timeout_s,
            )
        yield keys, links
        _tell_rest(ledger, clock, observe)


def _tell_rest(ledger: Ledger, clock: Callable[[], datetime], observe: Observer) -> None:
    """Report the unprocessed documents that are about no device in particular."""
    for document in ledger.service_documents.waiting(None, tuple(ServiceDocumentKind)):
        body = parse_response(document.document, "a document of the ledger").body
        detail = described(body.dcc_alert) if isinstance(body, DCCAlertMessage) else "set aside"
        ledger.service_documents.take(document.id, clock(), detail)
        if isinstance(body, DCCAlertMessage):
            tell_dcc_alert(observe, document, body)
