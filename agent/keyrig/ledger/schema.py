"""The tables of the ledger, in types that SQLite and PostgreSQL share."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from keyrig.domain.clock_trust import ClockFault
from keyrig.domain.device_facts import Cause, Outcome
from keyrig.domain.key_changes import KeyChangeState
from keyrig.domain.run_results import RunResult
from keyrig.domain.smi_status import SMIStatus
from keyrig.domain.states import (
    BatchRule,
    EventType,
    ExchangeOutcome,
    InstructionEnd,
    LocalCommandState,
    ScheduledState,
    ServiceDocumentKind,
    SuspensionEnd,
    Verification,
)
from keyrig.ledger.columns import Counter, Entity, Instant, RowId, choice

SCHEMA_VERSION: Final = 6
"""Raised with every change of the tables; see `keyrig.ledger.schema_upgrade`."""

APPLICATION_ID: Final = 0x4B52_4C47
"""SQLite's application_id of a ledger: "KRLG"."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ledger_schema = Table(
    "ledger_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

originator_counters = Table(
    "originator_counters",
    metadata,
    Column("originator", Entity, primary_key=True),
    Column("counter", BigInteger, nullable=False),
    Column("reserved_at", Instant, nullable=False),
)

clock_marks = Table(
    "clock_marks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("latest", Instant, nullable=False),
)

clock_findings = Table(
    "clock_findings",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
    Column("fault", choice(ClockFault), nullable=False),
    Column("by_ms", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rig_name", Text, nullable=False, index=True),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("outcome", choice(RunResult, "runoutcome")),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
    Column("duty_id", Text, nullable=False),
    Column("device", Entity, nullable=False),
    Column("requirement", String(20), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("outcome", choice(Outcome)),
    Column("detail", Text, nullable=False, default=""),
    Column("evidence", Text, nullable=False, default=""),
    Index("ix_attempts_device_requirement", "device", "requirement"),
)

duties_not_begun = Table(
    "duties_not_begun",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
    Column("device", Entity, nullable=False),
    Column("requirement", String(20), nullable=False),
    Column("at", Instant, nullable=False),
    Column("cause", choice(Cause), nullable=False),
    Column("reason", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Index("ix_duties_not_begun_device_requirement", "device", "requirement"),
)
"""Duties that were due and were held back before anything was sent for them, and why."""

exchanges = Table(
    "exchanges",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
    Column("attempt_id", ForeignKey("attempts.id"), index=True),
    Column("device", Entity, nullable=False, index=True),
    Column("originator", Entity, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("message_code", Integer, nullable=False),
    Column("command", LargeBinary, nullable=False),
    Column("sent_at", Instant, nullable=False),
    Column("response", LargeBinary),
    Column("verified", Boolean(create_constraint=True, name="verified")),
    Column("outcome", choice(ExchangeOutcome)),
    Column("detail", Text, nullable=False, default=""),
    Column("finished_at", Instant),
    UniqueConstraint("originator", "counter"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), index=True),
    Column("device", Entity, nullable=False, index=True),
    Column("alert_code", Integer),
    Column("octets", LargeBinary, nullable=False),
    Column("verified", Boolean(create_constraint=True, name="verified"), nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Column("received_at", Instant, nullable=False),
)

key_changes = Table(
    "key_changes",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", Entity, nullable=False),
    Column("key_usage", SmallInteger, nullable=False),
    Column("state", choice(KeyChangeState), nullable=False),
    Column("run_id", ForeignKey("runs.id"), index=True),
    Column("csr", LargeBinary),
    Column("certificate", LargeBinary),
    Column("requested_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("ended", Boolean(create_constraint=True, name="ended"), nullable=False),
    Index("ix_key_changes_device_key_usage", "device", "key_usage"),
)
Index(
    "uq_key_changes_open",
    key_changes.c.device,
    key_changes.c.key_usage,
    unique=True,
    sqlite_where=key_changes.c.ended.is_(False),
)

key_change_moves = Table(
    "key_change_moves",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("key_change_id", ForeignKey("key_changes.id"), nullable=False, index=True),
    Column("state", choice(KeyChangeState), nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Column("at", Instant, nullable=False),
)

certification_requests = Table(
    "certification_requests",
    metadata,
    Column("key_change_id", ForeignKey("key_changes.id"), primary_key=True),
    Column("authority", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("folder", Text),
    Column("asked_at", Instant, nullable=False),
)
"""The authority that has the request of a key change, with its last answer."""

device_certificates = Table(
    "device_certificates",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", Entity, nullable=False),
    Column("key_usage", SmallInteger, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
    Column("key_change_id", ForeignKey("key_changes.id"), index=True),
    Column("certain", Boolean(create_constraint=True, name="certain"), nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Index("ix_device_certificates_device_key_usage", "device", "key_usage"),
)

smi_statuses = Table(
    "smi_statuses",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", Entity, nullable=False, index=True),
    Column("status", choice(SMIStatus), nullable=False),
    Column("at", Instant, nullable=False),
    Column("cause", Text, nullable=False),
    Column("clause", String(20), nullable=False, default=""),
    Column("recorded_at", Instant, nullable=False),
)

suspensions = Table(
    "suspensions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", Entity, nullable=False, index=True),
    Column("clause", String(20), nullable=False),
    Column("held_before", choice(SMIStatus)),
    Column("reason", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Column("ended_by", choice(SuspensionEnd)),
)
Index(
    "uq_suspensions_open",
    suspensions.c.device,
    unique=True,
    sqlite_where=suspensions.c.until.is_(None),
)

failed_steps = Table(
    "failed_steps",
    metadata,
    Column("suspension_id", ForeignKey("suspensions.id"), primary_key=True),
    Column("requirement", String(20), primary_key=True),
    Column("failed_at", Instant, nullable=False),
    Column("completed_at", Instant),
)

status_instructions = Table(
    "status_instructions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", Entity, nullable=False, index=True),
    Column("status", choice(SMIStatus), nullable=False),
    Column("instead_of", choice(SMIStatus, "instead_of")),
    Column("clause", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", choice(InstructionEnd)),
    Column("detail", Text, nullable=False, default=""),
)
"""Statuses that devices are to have; one for a device waits until the inventory shows it."""
Index(
    "uq_status_instructions_waiting",
    status_instructions.c.device,
    unique=True,
    sqlite_where=status_instructions.c.ended_at.is_(None),
)

events = Table(
    "events",
    metadata,
    Column("number", RowId, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("type", choice(EventType), nullable=False),
    Column("device", Entity, nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("body", Text, nullable=False),
)

ledger_identity = Table(
    "ledger_identity",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("uuid", String(36), nullable=False),
)

upstreams = Table(
    "upstreams",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("replays", Integer, nullable=False),
    Column("last_told_at", Instant),
    Column("failures", Integer, nullable=False),
    Column("stopped", Boolean(create_constraint=True, name="stopped"), nullable=False),
    Column("retry_at", Instant),
    Column("retry_asked", Boolean(create_constraint=True, name="retry_asked"), nullable=False),
    Column("last_error", Text),
    Column("last_error_at", Instant),
)
"""The upstreams, with the states of publishing to them."""

event_queue = Table(
    "event_queue",
    metadata,
    Column("upstream", ForeignKey("upstreams.name"), primary_key=True),
    Column("number", ForeignKey("events.number"), primary_key=True),
    Column("device", Entity, nullable=False),
    Column("parked_at", Instant),
    Column("parked_reason", Text),
    Column("parked_by_person", Boolean(create_constraint=True, name="parked_by_person")),
)
"""The events still to be published to each upstream; a row goes when its event was acknowledged."""
Index(
    "ix_event_queue_parked",
    event_queue.c.upstream,
    event_queue.c.device,
    event_queue.c.number,
    sqlite_where=event_queue.c.parked_at.is_not(None),
)

discarded_events = Table(
    "discarded_events",
    metadata,
    Column("upstream", ForeignKey("upstreams.name"), primary_key=True),
    Column("number", ForeignKey("events.number"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", Instant, nullable=False),
)
"""The events that a person discarded for an upstream, and why."""

cell_snapshots = Table(
    "cell_snapshots",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False, index=True),
    Column("device", Entity, nullable=False, index=True),
    Column("role", SmallInteger, nullable=False),
    Column("key_usage", SmallInteger, nullable=False),
    Column("cell_usage", SmallInteger, nullable=False),
    Column("entity_id", Entity, nullable=False),
    Column("subject_key_identifier", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)

device_facts = Table(
    "device_facts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("device", Entity, nullable=False, index=True),
    Column("name", String(80), nullable=False),
    Column("value", Text, nullable=False),
    Column("at", Instant),
    Column("source", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)
"""Statements about devices, with sources and times; rows are added and never changed."""

planned_devices = Table(
    "planned_devices",
    metadata,
    Column("device", Entity, primary_key=True),
    Column("rig_name", Text, nullable=False),
    Column("rule_set", ForeignKey("rule_sets.digest"), nullable=False),
    Column("actors", Text, nullable=False),
)
"""The rules and the actors by which the open duties of a device are kept."""

open_duties = Table(
    "open_duties",
    metadata,
    Column("device", Entity, primary_key=True),
    Column("requirement", String(20), primary_key=True),
    Column("due_by", Instant, nullable=False),
    Index("ix_open_duties_due_by", "due_by", "device", "requirement"),
)
"""The open duties, so that the next due are found without reading the rest."""

facts_to_come = Table(
    "facts_to_come",
    metadata,
    Column("device", Entity, primary_key=True),
    Column("at", Instant, primary_key=True),
    Index("ix_facts_to_come_at", "at"),
)
"""When a fact of a device comes into force, until its duties are planned anew."""

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("edition", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

run_contexts = Table(
    "run_contexts",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("rule_set", ForeignKey("rule_sets.digest"), nullable=False),
    Column("parties", Text, nullable=False),
    Column("agent_version", Text, nullable=False),
)
"""The rules and the parties of runs."""

certificates = Table(
    "certificates",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("der", LargeBinary, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

run_certificates = Table(
    "run_certificates",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("fingerprint", ForeignKey("certificates.fingerprint"), primary_key=True),
)

scheduled_replacements = Table(
    "scheduled_replacements",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("attempt_id", ForeignKey("attempts.id"), nullable=False),
    Column("exchange_id", ForeignKey("exchanges.id"), nullable=False),
    Column("device", Entity, nullable=False, index=True),
    Column("requirement", String(20), nullable=False),
    Column("originator", Entity, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("execution_at", Instant, nullable=False),
    Column("state", choice(ScheduledState), nullable=False),
    Column("alert_id", ForeignKey("alerts.id")),
    Column("settled_at", Instant),
    Column("detail", Text, nullable=False, default=""),
)
"""Future dated replacements of devices; an alert of the device ends each."""

local_batches = Table(
    "local_batches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rig_name", Text, nullable=False),
    Column("device", Entity, nullable=False, index=True),
    Column("digest", String(64), nullable=False, index=True),
    Column("rule", choice(BatchRule), nullable=False),
    Column("taken_in_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("outcome", choice(RunResult, "runoutcome")),
    Column("detail", Text, nullable=False, default=""),
)
"""Batches of other parties' commands for local delivery to one device."""

local_sittings = Table(
    "local_sittings",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("operation_id", ForeignKey("operations.id"), nullable=False, unique=True),
    Column("batch_id", ForeignKey("local_batches.id"), nullable=False, index=True),
)
"""The operations of the API by which a batch was delivered, or a part of it."""

local_commands = Table(
    "local_commands",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("batch_id", ForeignKey("local_batches.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("device", Entity, nullable=False),
    Column("originator", Entity, nullable=False),
    Column("counter", Counter, nullable=False),
    Column("message_code", Integer, nullable=False),
    Column("request_id", String(80), nullable=False, default=""),
    Column("source", Text, nullable=False),
    Column("octets", LargeBinary, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("remarks", Text, nullable=False, default=""),
    Column("expires_at", Instant, nullable=False),
    Column("state", choice(LocalCommandState), nullable=False),
    Column("sendings", Integer, nullable=False, default=0),
    Column("first_sent_at", Instant),
    Column("last_sent_at", Instant),
    Column("answer", LargeBinary),
    Column("verification", choice(Verification)),
    Column("detail", Text, nullable=False, default=""),
    Column("settled_at", Instant),
    Column("return_id", String(80), nullable=False, default=""),
    UniqueConstraint("batch_id", "position"),
    Index("ix_local_commands_device_originator_counter", "device", "originator", "counter"),
)
"""The commands of a batch in order, each with its outcome."""

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)
"""The API's tokens; of a secret, only its SHA-256."""

operations = Table(
    "operations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rig_name", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("request", Text, nullable=False),
    Column("finished_at", Instant),
    Column("result", String(20)),
    Column("problem", Text),
    Index("ix_operations_requested_at", "requested_at"),
)
"""Runs requested over the API; a run has the operation's id, once it has begun."""

operation_events = Table(
    "operation_events",
    metadata,
    Column("operation_id", ForeignKey("operations.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("type", String(60), nullable=False),
    Column("at", Instant, nullable=False),
    Column("body", Text, nullable=False),
)
"""The events of an operation, numbered from 1."""

service_documents = Table(
    "service_documents",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), index=True),
    Column("exchange_id", ForeignKey("exchanges.id"), index=True),
    Column("device", Entity, index=True),
    Column("request_id", String(70), nullable=False, default="", index=True),
    Column("kind", choice(ServiceDocumentKind), nullable=False),
    Column("service", String(20), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("signer", Text, nullable=False, default=""),
    Column("at", Instant, nullable=False),
    Column("taken_at", Instant),
    Column("detail", Text, nullable=False, default=""),
)
"""Documents to and from the DCC, octet by octet."""


def complete_for_postgresql() -> None:
    """Set the condition of each partial index for PostgreSQL too, before tables are made there.

    Named where the index is, it would load that dialect and its drivers in every command, for
    some 25 ms.
    """
    for table in metadata.sorted_tables:
        for index in table.indexes:
            condition = index.dialect_options["sqlite"]["where"]
            if condition is not None:
                index.dialect_options["postgresql"]["where"] = condition
