"""From the DCC's stand-in by way of a field agent to the device, and the answer back again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authorities import DEVICE
from dccstub.web_services import WebService
from duis import xml_signatures
from duis.request_documents import RetrieveDeviceSecurityCredentialsKRP
from duis.service_references import CommandVariant
from firmware_stubs.dccstub.bench import BROKER, SUPPLIER, StandInBench
from firmware_stubs.support import DS
from gbcs.certificate_profiles import GBCSCertificate
from gbcs.roles import RemotePartyRole
from homes.delivery_site import BATCHES, WEEK, DirectLink
from keyrig.delivery.batch_reading import commands_in
from keyrig.delivery.batch_validation import Expiry, check_batch
from keyrig.delivery.delivery_run import Field, deliver
from keyrig.delivery.public_certificates import PublicCertificates
from keyrig.delivery.returned_answers import Returning
from keyrig.domain.run_results import RunResult
from keyrig.domain.states import BatchRule, LocalCommandState, Verification
from keyrig.ledger.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

Role = RemotePartyRole


def test_commands_of_the_dcc_are_delivered_and_their_answers_taken_back(tmp_path: Path) -> None:
    dcc = StandInBench()
    reading = dcc.next_id()
    read = RetrieveDeviceSecurityCredentialsKRP(remote_party_roles=(Role.SUPPLIER, Role.RECOVERY))
    first = dcc.post(dcc.signed(read, reading, CommandVariant.LOCAL), WebService.NON_DEVICE).body
    updating = dcc.next_id()
    pre_command = dcc.signed_pre_command(dcc.pre_command(dcc.update(), updating))
    second = dcc.post(
        dcc.signed(pre_command, updating, CommandVariant.LOCAL_SIGNED, "6.15.1"),
        WebService.NON_DEVICE,
    ).body
    device = GBCSCertificate.from_der(dcc.device.memory.state.certificates[DS])
    supplier = dcc.credential(Role.SUPPLIER)
    certificates = PublicCertificates(
        [
            device,
            supplier.certificate,
            dcc.credential(Role.ACCESS_CONTROL_BROKER).certificate,
        ]
    )
    given = [*commands_in(first, "1.xml"), *commands_in(second, "2.xml")]
    now = dcc.clock.now
    commands = check_batch(
        given,
        device=DEVICE,
        certificates=certificates,
        expiry=Expiry(at=None, valid_for=WEEK),
        now=now,
    )
    assert [each.remarks for each in commands] == [
        "MAC for the device alone; DUIS response verified",
        "signature verified; DUIS response verified",
    ]
    answers = tmp_path / "answers"
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        batch = ledger.local_commands.take_in(
            BATCHES[0], commands, rig_name="bench", device=DEVICE, rule=BatchRule.STOP, now=now
        )
        result = deliver(
            Field(
                ledger=ledger,
                link=DirectLink(dcc.device.receive_message),
                timeout_s=1,
                certificates=certificates,
                returning=Returning(
                    party=None,
                    dcc=BROKER,
                    organisations_of_dcc=frozenset({BROKER}),
                    supplier=None,
                    directory=answers,
                    sign=lambda document: xml_signatures.sign(
                        document, supplier.pair, supplier.certificate
                    ),
                ),
                clock=dcc.clock,
                monotonic=lambda: 0.0,
            ),
            batch,
        )
        kept = ledger.local_commands.commands(batch.id)
    assert result is RunResult.DONE
    assert [(each.state, each.verification) for each in kept] == [
        (LocalCommandState.ANSWERED, Verification.NOT_VERIFIABLE_HERE),
        (LocalCommandState.ANSWERED, Verification.VERIFIED),
    ]
    assert {each.request_id for each in kept} == {str(reading), str(updating)}
    codes = [
        dcc.read(dcc.post(path.read_bytes(), WebService.NON_DEVICE).body).header.response_code
        for path in sorted(answers.iterdir())
    ]
    assert codes == ["I0", "I0"]
    assert SUPPLIER in {each.originator for each in kept}
