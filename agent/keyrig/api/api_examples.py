"""Examples of what the API gives, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from keyrig.api.event_stream import stream_example
from keyrig.base import events

_RUN: Final = "52fe54b1c0e94ad0a7bb2b8b2f1c6f11"
_ESME: Final = "00-DB-12-34-56-78-90-A0"
_AT: Final = "2026-11-24T09:00:00+00:00"
_DEADLINE: Final = "2026-12-01T09:00:00+00:00"

HEALTH: Final[dict[str, Any]] = {
    "live": True,
    "ready": True,
    "version": "0.1.0",
    "checks": [
        {"what": "ledger", "good": True},
        {"what": "rigs", "good": True},
        {"what": "events", "good": True},
    ],
}
RIG: Final[dict[str, Any]] = {
    "name": "emulated-home",
    "file": "emulated-home.toml",
    "emulated": True,
    "devices": [{"entity_id": _ESME, "type": "ESME", "link": "emulated: gfi"}],
    "radios": [],
    "running": None,
    "problem": None,
}
RIGS: Final[dict[str, Any]] = {"rigs": [RIG]}
_DUTY: Final[dict[str, Any]] = {
    "id": "00db1234567890a0/R37c",
    "requirement": "R37c",
    "clause": "H5.37(c)",
    "actor": "lead-supplier",
    "step": "regenerate-keys",
    "state": "due",
    "overdue": False,
    "deadline": _DEADLINE,
    "done_at": None,
    "attempts": 0,
    "reason": "due by 2026-12-01T09:00:00Z",
    "not_begun": None,
}
_NOT_BEGUN: Final[dict[str, Any]] = {
    "at": _AT,
    "cause": "keys",
    "reason": "/var/lib/keyrig/pki: no key agreement key of 90-B3-D5-1F-30-00-00-02",
    "mend": "`keyrig pki import FOLDER` adds it",
}
_HELD_BACK: Final[dict[str, Any]] = {
    **_DUTY,
    "id": "00db1234567890a0/R39",
    "requirement": "R39",
    "clause": "H5.39",
    "step": "ensure-supplier-credentials",
    "reason": f"not begun at 2026-11-24T09:00:00Z: {_NOT_BEGUN['reason']}; {_NOT_BEGUN['mend']}",
    "not_begun": _NOT_BEGUN,
}
_REQUEST: Final[dict[str, Any]] = {
    "device": _ESME,
    "key_usage": "digitalSignature",
    "key_identifier": "43ba393f3fd5e196",
    "since": "2026-11-24T09:00:00Z",
    "due_by": "2026-12-01T09:00:00Z",
    "authority": "by hand, in /var/lib/keyrig/requests/bench-3",
    "answer": "to be certified by hand: /var/lib/keyrig/requests/bench-3/"
    "00db1234567890a0-ds.43ba393f3fd5e196.csr.pem",
    "file": "/var/lib/keyrig/requests/bench-3/00db1234567890a0-ds.43ba393f3fd5e196.csr.pem",
}
_WAITING: Final[dict[str, Any]] = {
    **_DUTY,
    "state": "waiting",
    "attempts": 1,
    "reason": "its certification requests wait for the authority since 2026-11-24T09:00:00Z",
}
_DEVICE: Final[dict[str, Any]] = {
    "entity_id": _ESME,
    "type": "ESME",
    "smi_status": "Commissioned",
    "suspended_under": None,
    "certification_requests": [_REQUEST],
    "duties": [_WAITING, _HELD_BACK],
}
PLAN: Final[dict[str, Any]] = {
    "schema": 1,
    "edition": "SEC H5.33-H5.40, consultation draft",
    "made_at": _AT,
    "devices": [_DEVICE],
}
DEVICES: Final[dict[str, Any]] = {
    "rig": "emulated-home",
    "edition": "SEC H5.33-H5.40, consultation draft",
    "made_at": _AT,
    "devices": [
        {
            **_DEVICE,
            "link": "emulated: gfi",
            "open_duties": 1,
            "next_deadline": _DEADLINE,
            "overdue": False,
            "held_by": None,
        }
    ],
}
RADIOS: Final[dict[str, Any]] = {
    "rig": "emulated-zigbee-home",
    "radios": {
        "hub": {
            "state": "up",
            "reason": "",
            "since": _AT,
            "channel": 15,
            "pan_id": "1a62",
            "devices": {_ESME: "ready"},
        }
    },
}
_FACT: Final[dict[str, Any]] = {
    "name": "commissioned_at",
    "value": "2026-11-24T09:00:00Z",
    "source": "rig emulated-home",
    "holds_from": None,
    "recorded_at": _AT,
}
EXPLANATION: Final[dict[str, Any]] = {
    "edition": "SEC H5.33-H5.40, consultation draft",
    "duties": [
        {
            "id": "00db1234567890a0/R37c",
            "requirement": "R37c",
            "state": "due",
            "reason": "due by 2026-12-01T09:00:00Z",
            "deadline": _DEADLINE,
            "overdue": False,
            "rule": ["H5.37(c): the Lead Supplier has an ESME re-generate its keys"],
            "facts": [{"name": "commissioned_at", "value": "2026-11-24T09:00:00Z", "said": _FACT}],
            "readings": [
                {"name": "days", "ambiguity": "A3", "choice": "calendar", "reason": "as defined"}
            ],
            "days": "7 days from 2026-11-24T09:00:00Z",
            "attempts": [],
            "failed_at_attempt": None,
            "failed_at_deadline": None,
            "entails": ["the device is Suspended under H5.38"],
            "would_change_it": ["a run that carries it out"],
        }
    ],
}
DUE: Final[dict[str, Any]] = {
    "open": 19,
    "duties": [
        {
            "entity_id": _ESME,
            "requirement": "R37c",
            "due_by": _DEADLINE,
            "overdue": False,
            "rig": "emulated-home",
        }
    ],
}
DEVICE_FACTS: Final[dict[str, Any]] = {
    "entity_id": _ESME,
    "facts": [_FACT],
    "smi_status": [{"status": "Commissioned", "at": _AT, "source": "rig file", "clause": None}],
}
FACT_SAID: Final[dict[str, Any]] = {
    "name": "lead_supplier",
    "value": "90-B3-D5-1F-30-01-00-00",
    "source": "ticket 4711",
}
FACT_RECORDED: Final[dict[str, Any]] = {
    "told": f"{_ESME}: lead_supplier is 90-B3-D5-1F-30-01-00-00",
    "device": DEVICE_FACTS,
}
STATUS_SAID: Final[dict[str, Any]] = {"status": "Commissioned", "source": "ticket 4711"}
STATUS_RECORDED: Final[dict[str, Any]] = {
    "entity_id": _ESME,
    "status": "Commissioned",
    "is_news": False,
}
INVENTORY: Final = """\
<sr:Response xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">
  <sr:Header>
    <sr:RequestID>90-B3-D5-1F-30-01-00-00:90-B3-D5-1F-30-00-00-02:1000</sr:RequestID>
    <sr:ResponseID>90-B3-D5-1F-30-00-00-02:90-B3-D5-1F-30-01-00-00:1000</sr:ResponseID>
    <sr:ResponseCode>I0</sr:ResponseCode>
    <sr:ResponseDateTime>2026-11-24T09:00:00.00Z</sr:ResponseDateTime>
  </sr:Header>
  <sr:Body>
    <sr:ResponseMessage>
      <sr:ServiceReference>8.2</sr:ServiceReference>
      <sr:ServiceReferenceVariant>8.2</sr:ServiceReferenceVariant>
      <sr:DSPInventory>
        <sr:Device>
          <sr:DeviceID>00-DB-12-34-56-78-90-B0</sr:DeviceID>
          <sr:DeviceType>ESME</sr:DeviceType>
          <sr:DeviceStatus>Commissioned</sr:DeviceStatus>
          <sr:DeviceManufacturer>1060</sr:DeviceManufacturer>
          <sr:DeviceModel>0001</sr:DeviceModel>
          <sr:DateCommissioned>2026-11-20</sr:DateCommissioned>
        </sr:Device>
      </sr:DSPInventory>
    </sr:ResponseMessage>
  </sr:Body>
</sr:Response>
"""
INVENTORY_TAKEN: Final[dict[str, Any]] = {
    "devices": [
        {
            "entity_id": "00-DB-12-34-56-78-90-B0",
            "type": "ESME",
            "news": ["device_type", "commissioned_at", "SMI Status Commissioned"],
        }
    ],
    "without_duties": [],
}
RUN_REQUEST: Final[dict[str, Any]] = {"rig": "emulated-home"}
RUN_REQUEST_ONE: Final[dict[str, Any]] = {"rig": "emulated-home", "devices": [_ESME]}
RUN_ACCEPTED: Final[dict[str, Any]] = {
    "operation_id": _RUN,
    "rig": "emulated-home",
    "state": "running",
    "href": f"/api/v1/runs/{_RUN}",
    "events": f"/api/v1/runs/{_RUN}/events",
}
_SUMMARY: Final[dict[str, Any]] = {
    "operation_id": _RUN,
    "rig": "emulated-home",
    "state": "done",
    "started_at": _AT,
    "finished_at": "2026-11-24T09:01:30+00:00",
    "requested_by": "handheld-7",
    "request": {
        "devices": [],
        "execute_at": None,
        "cancel": False,
        "accept_clock": False,
        "all_or_nothing": False,
    },
    "problem": None,
}
RUNS: Final[dict[str, Any]] = {"runs": [_SUMMARY], "next": None}
RUN: Final[dict[str, Any]] = {
    **_SUMMARY,
    "stoppable": False,
    "has_events": True,
    "has_report": True,
    "duties": [
        {
            "entity_id": _ESME,
            "requirement": "R37c",
            "started_at": _AT,
            "finished_at": "2026-11-24T09:01:00+00:00",
            "outcome": "done",
            "detail": "both key pairs re-generated, certified, stored and read back",
        }
    ],
    "not_begun": [{"entity_id": _ESME, "requirement": "R39", **_NOT_BEGUN}],
}
EVENTS: Final = stream_example(
    events.OperationAccepted(
        operation=_RUN,
        rig="emulated-home",
        requested_by="handheld-7",
        devices=(),
        cancel=False,
        accept_clock=False,
        all_or_nothing=False,
    ),
    events.OperationFinished(result="done", problem=None),
)
_PEM: Final = """\
-----BEGIN CERTIFICATE-----
MIIBrzCCAVWgAwIBAgIQFxKIkWr1v0Lh7iWEDxoG7TAKBggqhkjOPQQDAjAaMQsw
CQYDVQQLEwIwNzELMAkGA1UEAxMCSzEwHhcNMjYxMTI1MDAwMDAwWhcNMzYxMTIz
MjM1OTU5WjA+MRswGQYDVQQDDBJLRVlSSUdURVNUU1VQUExJRVIxCzAJBgNVBAsM
AjAyMRIwEAYDVQQtAwkAkLPVHzABAAAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AATrD54FO4RUp7Z/BiluTrJgj5hZ8WFK4gWegA4Nze58u/WOBhcU2kmORWzLbYf9
06R1ZjbtUu8GIevnDdZMOZMIo1kwVzAOBgNVHQ8BAf8EBAMCB4AwEQYDVR0OBAoE
CEpQp+FOAAZIMB0GA1UdIAEB/wQTMBEwDwYNKoY6AAGEj7kPAQIBBDATBgNVHSME
DDAKgAhGUoJlQ4MZgjAKBggqhkjOPQQDAgNIADBFAiEAn2BY49FvzYIF+WvFKR+L
OUMaDtDJW89AwxsIEgcYhpwCIBZxd7XC12QpLkCPIICBL2xw+fR5+r3E6vhtdYZW
EB3v
-----END CERTIFICATE-----
"""
"""A certificate of a test PKI, whose keys were thrown away."""
_CERTIFICATE: Final[dict[str, Any]] = {
    "source": "90b3d51f30010000-ds.pem",
    "profile": "organisation",
    "entity_id": "90-B3-D5-1F-30-01-00-00",
    "name": "KEYRIGTESTSUPPLIER",
    "role": "supplier",
    "key_usage": "digitalSignature",
    "cell_usage": "management",
    "not_before": "2026-11-25T00:00:00Z",
    "not_after": "2036-11-23T23:59:59Z",
    "subject_key_identifier": "4a50a7e14e000648",
    "serial": "171288916af5bf42e1ee25840f1a06ed",
    "private_key": True,
    "sha256": "db982bd66585098f1ff1e3a6f8264569e218dca03bfd80e5779ef9b1345f2820",
    "pem": _PEM,
}
CERTIFICATES: Final[dict[str, Any]] = {
    "rig": "emulated-home",
    "certificates": [_CERTIFICATE],
    "left_out": [],
}
CERTIFICATE_GIVEN: Final[dict[str, Any]] = {"pem": _PEM}
CERTIFICATE_ADDED: Final[dict[str, Any]] = {"certificate": _CERTIFICATE}
_REQUEST_PEM: Final = """\
-----BEGIN CERTIFICATE REQUEST-----
MIIBFDCBugIBADAAMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEDNl12FClrCxg
vpW5K7F525amDlNmDrQd09O4x8aqnFCLioD0KUr4BhkIX4uuPIbSh2/7V6owlN+c
IQUU2nQ8kKBYMFYGCSqGSIb3DQEJDjFJMEcwDgYDVR0PAQH/BAQDAgeAMDUGA1Ud
EQEB/wQrMCmgJwYIKwYBBQUHCASgGzAZBg0qhjoAAYSPuQ8BAgIBBAgA2xI0VniQ
oDAKBggqhkjOPQQDAgNJADBGAiEAtb03e0KhMtQ7eHP1KRdjvSX7Wot2zS/66XB1
Tp8UL/QCIQCEYN45ZUGD/iTIR+OclpQc8z/jDEAYuSXLxCtxpV25Tw==
-----END CERTIFICATE REQUEST-----
"""
"""A request for a key of a test, which was thrown away."""
WAITING_REQUESTS: Final[dict[str, Any]] = {
    "rig": "bench-3",
    "requests": [
        {
            **_REQUEST,
            "sha256": "85f108242fd886303135f294606515f1029215d200decf50c50b230ee7209246",
            "pem": _REQUEST_PEM,
        }
    ],
}
CERTIFICATES_GIVEN: Final[dict[str, Any]] = {"pem": _PEM}
CERTIFICATES_TAKEN: Final[dict[str, Any]] = {
    "rig": "bench-3",
    "certificates": [
        {
            "source": "the certificates given, block 1",
            "certificate": f"{_ESME} (device, digitalSignature)",
            "taken": True,
            "refused": False,
            "rule": None,
            "outcome": f"taken for the digitalSignature request 43ba393f3fd5e196 of {_ESME}",
        },
        {
            "source": "the certificates given, block 2",
            "certificate": f"{_ESME} (device, keyAgreement)",
            "taken": False,
            "refused": True,
            "rule": "wrong-key",
            "outcome": "refused: its key is not that of the device's request",
        },
    ],
    "waiting": 1,
}
OUTBOX: Final[dict[str, Any]] = {
    "upstreams": [
        {
            "name": "head-office",
            "kind": "https",
            "address": "https://events.example/keyrig",
            "waiting": 2,
            "parked": 1,
            "held_back": 1,
            "oldest_waiting_at": _AT,
            "last_told_at": _AT,
            "stopped": False,
            "failures": 0,
            "last_error": None,
            "last_error_at": None,
            "retry_at": None,
            "parked_events": [
                {
                    "id": "0f7f5a52-5b1e-5a93-8b0d-0b1b7f6f6d11",
                    "type": "duty-outcome",
                    "device": _ESME,
                    "at": _AT,
                    "reason": "422 Unprocessable Content",
                    "by_person": False,
                    "parked_at": _AT,
                }
            ],
        }
    ]
}
METRICS: Final = (
    "# HELP keyrig_duties_open Duties still to be done.\n"
    "# TYPE keyrig_duties_open gauge\n"
    "keyrig_duties_open 19.0\n"
)
