"""The reference set's own commands, delivered as they are to a device with the set's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from authorities import REFERENCE_KEYSTORE, REFERENCE_MESSAGES, needs
from firmware_stubs.test_reference_messages import CASES, Case, command_for, device_for
from gbcs.message import Message
from homes.delivery_site import BATCHES, NOON, WEEK, DirectLink
from keyrig.delivery.batch_reading import GivenCommand, read_commands
from keyrig.delivery.batch_validation import SIGNATURE_VERIFIED, Expiry, check_batch
from keyrig.delivery.delivery_run import Field, deliver
from keyrig.delivery.public_certificates import PublicCertificates, public_certificates
from keyrig.delivery.returned_answers import Returning
from keyrig.domain.states import BatchRule, LocalCommandState, Verification
from keyrig.keys.store_opening import open_keystore
from keyrig.ledger.ledger import Ledger
from keyrig.run.bench import RunResult

if TYPE_CHECKING:
    from pathlib import Path

    from keyrig.ledger.local_commands import LocalCommand
    from meterstub.emulated_device import EmulatedDevice

pytestmark = [pytest.mark.reference, needs(REFERENCE_MESSAGES)]


def delivered(
    device: EmulatedDevice,
    home: Path,
    given: tuple[GivenCommand, ...],
    certificates: PublicCertificates,
) -> tuple[RunResult, LocalCommand]:
    with Ledger(home / "ledger.sqlite") as ledger:
        commands = check_batch(
            given,
            device=device.entity_id,
            certificates=certificates,
            expiry=Expiry(at=None, valid_for=WEEK),
            now=NOON,
        )
        batch = ledger.local_commands.take_in(
            BATCHES[0],
            commands,
            rig_name="bench",
            device=device.entity_id,
            rule=BatchRule.STOP,
            now=NOON,
        )
        result = deliver(
            Field(
                ledger=ledger,
                link=DirectLink(device.receive_message),
                timeout_s=1,
                certificates=certificates,
                returning=Returning(
                    party=device.entity_id,
                    dcc=device.entity_id,
                    organisations_of_dcc=frozenset(),
                    supplier=None,
                ),
                clock=lambda: NOON,
                monotonic=lambda: 0.0,
            ),
            batch,
        )
        (command,) = ledger.local_commands.commands(batch.id)
    return result, command


def test_answer_to_the_reference_file_is_the_reference_to_the_last_octet(tmp_path: Path) -> None:
    case = CASES[0]
    given = read_commands([REFERENCE_MESSAGES / f"{case.name}_COMMAND_GBCS.HEX"])
    known = public_certificates(REFERENCE_KEYSTORE)
    result, command = delivered(device_for(case), tmp_path, given, known)
    assert result is RunResult.DONE
    assert command.octets == case.command.octets
    assert command.answer == case.response.octets
    assert command.verification is Verification.NOT_VERIFIABLE_HERE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reference_command_is_taken_in_verified_and_answered(case: Case, tmp_path: Path) -> None:
    """A device's signing key is made in the run, so none of the set's certificates is its own."""
    device = device_for(case)
    octets = command_for(case, device)
    organisations = PublicCertificates(
        each
        for each in open_keystore(REFERENCE_KEYSTORE).certificates()
        if each.entity_id != device.entity_id
    )
    given = (GivenCommand(source=case.name, octets=octets),)
    result, command = delivered(device, tmp_path, given, organisations)
    assert (SIGNATURE_VERIFIED in command.remarks) == bool(case.command.signature)
    assert result is RunResult.DONE
    assert command.state is LocalCommandState.ANSWERED
    assert command.answer is not None
    assert Message.parse(command.answer).content == case.response.content
