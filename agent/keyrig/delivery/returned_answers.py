"""Giving a device's answers back to the DCC: DUIS 8.13, Return Local Command Response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from duis.document_headers import RequestIdentifier
from duis.request_documents import ReturnLocalCommandResponse, build_request, request_of
from keyrig.base.errors import SettingsError
from keyrig.base.private_files import SHARED_FOLDER, make_folder, write_whole
from keyrig.domain.known_facts import FactName

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from keyrig.config.rig_file import Rig, RigDevice
    from keyrig.ledger.local_commands import LocalCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Returning:
    """Who returns answers to the DCC, and how.

    Args:
        party: Whose request it is; None where each command says.
        dcc: Whom it is sent to.
        organisations_of_dcc: Who never returns an answer, being the DCC itself.
        supplier: Who returns the answer to a command of the DCC that came without a RequestID.
        directory: Where documents are written; None for nowhere.
        sign: Signs a document; None leaves it unsigned.
    """

    party: EntityIdentifier | None
    dcc: EntityIdentifier
    organisations_of_dcc: frozenset[EntityIdentifier]
    supplier: EntityIdentifier | None
    directory: Path | None = None
    sign: Callable[[bytes], bytes] | None = None

    def party_for(self, request_id: str, originator: EntityIdentifier) -> EntityIdentifier:
        """Return the party that returns the answer to a command.

        Args:
            request_id: The command's RequestID, or "".
            originator: Who made the command.

        Raises:
            SettingsError: Nothing says who.
        """
        if self.party is not None:
            return self.party
        if request_id:
            return RequestIdentifier.parse(request_id).originator
        if originator not in self.organisations_of_dcc:
            return originator
        if self.supplier is None:
            raise SettingsError(
                f"the answer to a command of {originator}",
                "nothing says who returns it to the DCC",
                "name the supplier with --return-as",
            )
        return self.supplier

    def make_directory(self) -> None:
        """Make the folder for documents, where there is to be one.

        Raises:
            SettingsError: It cannot be made.
        """
        if self.directory is None:
            return
        try:
            make_folder(self.directory, SHARED_FOLDER)
        except OSError as error:
            raise SettingsError(
                str(self.directory), f"cannot be made: {error.strerror}", "name another folder"
            ) from error


def returning_for(
    rig: Rig,
    device: RigDevice,
    *,
    party: EntityIdentifier | None = None,
    directory: Path | None = None,
    sign: Callable[[bytes], bytes] | None = None,
) -> Returning:
    """Return who returns the answers of a device of a rig, as a `Returning`."""
    dcc = rig.dcc
    return Returning(
        party=party,
        dcc=dcc.access_control_broker,
        organisations_of_dcc=frozenset(
            {dcc.access_control_broker, dcc.transitional_cos, dcc.recovery, dcc.wan_provider}
        ),
        supplier=rig.said(device).get(FactName.LEAD_SUPPLIER),
        directory=directory,
        sign=sign,
    )


def answer_document(command: LocalCommand, sign: Callable[[bytes], bytes] | None = None) -> bytes:
    """Make the 8.13 request that returns the answer to a command.

    Args:
        command: One that was answered.
        sign: Signs the document; None leaves it unsigned.

    Source: DUIS XML schema 5.4, `ReturnLocalCommandResponse`; the template of 8.13.
    """
    assert command.answer is not None
    request = request_of(
        ReturnLocalCommandResponse(
            original_request_id=RequestIdentifier.parse(command.request_id)
            if command.request_id
            else None,
            device_gbcs_response=command.answer,
        ),
        RequestIdentifier.parse(command.return_id),
    )
    document = build_request(request)
    return document if sign is None else sign(document)


def document_name(command: LocalCommand) -> str:
    """Return the name of the file that holds a command's answer; the same whenever it is written.

    Files sort in the order of their RequestIDs' counters, in which they are to be sent.
    """
    request_counter = RequestIdentifier.parse(command.return_id).counter
    of = f"{command.originator.stem}_{command.counter}"
    return f"8.13_{command.device.stem}_{request_counter}_{of}.xml"


def write_answer(command: LocalCommand, returning: Returning) -> Path | None:
    """Write the document of a command's answer, where there is a place for it.

    Raises:
        SettingsError: It cannot be written.
        KeyStoreError: The key that signs it is missing or locked.
    """
    if returning.directory is None or command.answer is None:
        return None
    path = returning.directory / document_name(command)
    write_whole(path, answer_document(command, returning.sign), "the answer")
    return path
