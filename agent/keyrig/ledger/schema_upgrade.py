"""The upgrade of an older ledger's tables to this version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy.schema import CreateIndex, CreateTable

from keyrig.ledger.schema import discarded_events, event_queue, metadata, upstreams

if TYPE_CHECKING:
    from sqlalchemy import Connection

QUEUE_SINCE: Final = 6
"""The first version that has a row for each event and upstream, in place of positions."""

# Up to version 3, `deliveries` had what upstreams acknowledged. Versions 4 and 5 had a position
# for each upstream, up to which it had been told, and one of its own for each device that lagged
# behind it, since an event of it was parked or not acknowledged; what `deliveries` had counted
# for an upstream until a person had it begin anew.
_EMPTY_WHERE_ABSENT: Final = (
    """
    CREATE TABLE IF NOT EXISTS upstreams (name, position, reads_deliveries, last_told_at, failures,
        stopped, retry_at, retry_asked, last_error, last_error_at, first_seen_at)
    """,
    "CREATE TABLE IF NOT EXISTS lagging_devices (upstream, device, position)",
    "CREATE TABLE IF NOT EXISTS parked_events (upstream, number, at, reason, by_person)",
)
_QUEUE_WHAT_IS_OWED: Final = (
    # An upstream of `deliveries` that was not in the settings since is known all the same.
    """
    INSERT INTO upstreams (name, position, reads_deliveries, last_told_at, failures, stopped,
                           retry_asked, first_seen_at)
    SELECT upstream, 0, 1, max(delivered_at), 0, 0, 0, min(delivered_at) FROM deliveries
    WHERE upstream NOT IN (SELECT name FROM upstreams) GROUP BY upstream
    """,
    """
    INSERT INTO event_queue (upstream, number, device, parked_at, parked_reason, parked_by_person)
    SELECT upstream.name, event.number, event.device, parked.at, parked.reason, parked.by_person
    FROM upstreams AS upstream CROSS JOIN events AS event
    LEFT JOIN lagging_devices AS lagging
        ON lagging.upstream = upstream.name AND lagging.device = event.device
    LEFT JOIN parked_events AS parked
        ON parked.upstream = upstream.name AND parked.number = event.number
    WHERE event.number > coalesce(lagging.position, upstream.position)
    AND NOT EXISTS (SELECT 1 FROM discarded_events AS discarded
        WHERE discarded.upstream = upstream.name AND discarded.number = event.number)
    AND NOT (upstream.reads_deliveries AND EXISTS (SELECT 1 FROM deliveries AS delivery
        WHERE delivery.upstream = upstream.name AND delivery.event_id = event.id))
    """,
    "CREATE TABLE upstreams_before AS SELECT * FROM upstreams",
    *(f"DROP TABLE {t}" for t in ("deliveries", "lagging_devices", "parked_events", "upstreams")),
)
_KEEP_UPSTREAMS: Final = (
    """
    INSERT INTO upstreams (name, replays, last_told_at, failures, stopped, retry_at, retry_asked,
                           last_error, last_error_at)
    SELECT name, 0, last_told_at, failures, stopped, retry_at, retry_asked, last_error,
           last_error_at FROM upstreams_before
    """,
    "DROP TABLE upstreams_before",
)


def upgrade(connection: Connection, version: int) -> None:
    """Upgrade the tables of a ledger; all rows keep their meaning.

    Args:
        connection: In a transaction that writes, with foreign keys not enforced.
        version: The ledger's version, older than this one.
    """
    if version < QUEUE_SINCE:
        for statement in _EMPTY_WHERE_ABSENT:
            connection.exec_driver_sql(statement)
        discarded_events.create(connection, checkfirst=True)
        event_queue.create(connection)
        for statement in _QUEUE_WHAT_IS_OWED:
            connection.exec_driver_sql(statement)
        upstreams.create(connection)
        for statement in _KEEP_UPSTREAMS:
            connection.exec_driver_sql(statement)
    metadata.create_all(connection)
    _renew_indexes(connection)
    _widen_checks(connection)


def _renew_indexes(connection: Connection) -> None:
    """Recreate the indexes that differ from the present ones."""
    stands = _text_of(connection, "index")
    for table in metadata.sorted_tables:
        for index in table.indexes:
            if stands.get(str(index.name)) != str(CreateIndex(index).compile(connection)).strip():
                connection.exec_driver_sql(f"DROP INDEX IF EXISTS {index.name}")
                index.create(connection)


def _text_of(connection: Connection, kind: str) -> dict[str, str]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = ?", (kind,))
    return {row.name: row.sql for row in rows}


def _widen_checks(connection: Connection) -> None:
    """Set each table's checks to the present ones, without touching its rows.

    The columns stay; only the words that a column may hold are more. SQLite documents this way
    for constraints: nothing on the disk but the table's text changes.

    Source: SQLite, "Making Other Kinds Of Table Schema Changes" (lang_altertable, 7).
    """
    stands = _text_of(connection, "table")
    wanted = {
        table.name: str(CreateTable(table).compile(connection)).strip()
        for table in metadata.sorted_tables
    }
    connection.exec_driver_sql("PRAGMA writable_schema=ON")
    for name, sql in wanted.items():
        if stands[name] != sql:
            connection.exec_driver_sql(
                "UPDATE sqlite_master SET sql = ? WHERE type = 'table' AND name = ?",
                (sql, name),
            )
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA schema_version={version + 1}")
