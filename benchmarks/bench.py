"""Measures what the project promises, prints it, and writes build/bench.json."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time  # noqa: TID251 - it measures
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import Engine, event

import conformance_bench
import radio_bench
import serve_bench
import start_up_bench
import upstream_bench
from gbcs.entity_identifier import EntityIdentifier
from gbcs.key_holders import SharedSecrets
from gbcs.message import CRAFlag, Message
from gbcs.protection import protect, verify_mac, verify_signature
from gbcs.roles import KeyUsage
from gbcs.use_cases import compose, decode_payload
from keyrig.cli import run_cli
from keyrig.config.places import ledger_path
from keyrig.keys.store_opening import open_keystore
from keyrig.ledger.ledger import Ledger
from ledger_generator import NOW, disagreements, generate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
RTDS = ROOT.parent / "shared" / "rtds"
ROUNDS = 60
REACH = 0.5
FLAT = 0.7
CONFORMANCE_REACH = 0.6
NEXT_DUE = 1000
NEXT_ROUNDS = 20
DEVICES = (10_000, 100_000, 1_000_000)
BROKER = EntityIdentifier.parse("90-B3-D5-1F-30-00-00-02")
ECDSA = ec.ECDSA(hashes.SHA256())


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(work: Callable[[], None], bare: Callable[[], None]) -> tuple[float, float]:
    """Give the least seconds of both, run in turns; what is above it is the machine's noise."""
    pairs = [(seconds(work), seconds(bare)) for _ in range(ROUNDS)]
    return min(p[0] for p in pairs), min(p[1] for p in pairs)


class Reference:
    """The reference messages with the keys that each needs, read once."""

    def __init__(self) -> None:
        self.store = open_keystore(RTDS / "keystore")
        self.octets = [
            bytes.fromhex(path.read_text(encoding="ascii"))
            for path in sorted((RTDS / "messages").glob("*.HEX"))
        ]
        self.messages = [Message.parse(octets) for octets in self.octets]

    def public_key(self, entity: EntityIdentifier, usage: KeyUsage) -> Any:
        return self.store.certificate(entity, key_usage=usage).public_key

    def mac_parties(self, message: Message) -> tuple[EntityIdentifier, EntityIdentifier]:
        """Give whose private key and whose public key make a message's MAC."""
        header = message.header
        if header.cra_flag is CRAFlag.COMMAND:
            return BROKER, header.recipient
        return header.recipient, header.originator


def verification(reference: Reference) -> tuple[float, float]:
    work_items, bare_items, pairs = [], [], {}
    for octets, message in zip(reference.octets, reference.messages, strict=True):
        signer = pair = None
        if message.signature:
            signer = reference.public_key(message.header.originator, KeyUsage.DIGITAL_SIGNATURE)
            signature = encode_dss_signature(
                int.from_bytes(message.signature[:32]), int.from_bytes(message.signature[32:])
            )
            bare_items.append((signer, signature, message.signed_octets))
        if message.mac:
            own, peer = reference.mac_parties(message)
            peer_key = reference.public_key(peer, KeyUsage.KEY_AGREEMENT)
            pair = (reference.store.agreer(own), peer_key)
            pairs[own, peer] = (private_key(own, "ka"), peer_key)
        work_items.append((octets, signer, pair))
    authenticated = [m.authenticated_octets for m in reference.messages if m.mac]

    def work() -> None:
        secrets = SharedSecrets()
        for octets, signer, pair in work_items:
            message = Message.parse(octets)
            if signer is not None:
                verify_signature(message, signer)
            if pair is not None:
                verify_mac(message, secrets.secret(*pair))
            decode_payload(message)

    def bare() -> None:
        for key, signature, signed in bare_items:
            key.verify(signature, signed, ECDSA)
        for own, peer in pairs.values():
            own.exchange(ec.ECDH(), peer)
        for octets in authenticated:
            AESGCM(bytes(16)).encrypt(bytes(12), b"", octets)

    ours, bare_s = compare(work, bare)
    return len(work_items) / ours, bare_s / ours


def private_key(entity: EntityIdentifier, use: str) -> ec.EllipticCurvePrivateKey:
    pem = (RTDS / "keystore" / f"{entity.stem}-{use}.key").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def building(reference: Reference) -> tuple[float, float]:
    items, bare_items, pairs = [], [], {}
    for message in reference.messages:
        if message.header.cra_flag is not CRAFlag.COMMAND or message.is_pre_command:
            continue
        decoded = decode_payload(message)
        assert decoded is not None
        originator = message.header.originator
        signer = reference.store.signer(originator) if message.signature else None
        pair = None
        if message.mac:
            own, peer = reference.mac_parties(message)
            peer_key = reference.public_key(peer, KeyUsage.KEY_AGREEMENT)
            pair = (reference.store.agreer(own), peer_key)
            pairs[own, peer] = (private_key(own, "ka"), peer_key)
        items.append((message.header, decoded.value, signer, pair))
        bare_items.append(
            (
                private_key(originator, "ds") if signer else None,
                message.signed_octets,
                message.authenticated_octets if message.mac else None,
            )
        )

    def work() -> None:
        secrets = SharedSecrets()
        for header, value, signer, pair in items:
            protect(
                compose(header, value),
                signer=signer,
                shared_secret=secrets.secret(*pair) if pair else None,
            )

    def bare() -> None:
        for own, peer in pairs.values():
            own.exchange(ec.ECDH(), peer)
        for key, signed, authenticated in bare_items:
            if key is not None:
                key.sign(signed, ECDSA)
            if authenticated is not None:
                AESGCM(bytes(16)).encrypt(bytes(12), b"", authenticated)

    ours, bare_s = compare(work, bare)
    return len(items) / ours, bare_s / ours


def six_device_run() -> float:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "KEYRIG_HOME": home}
        command = [sys.executable, "-m", "keyrig", "run", "--json"]
        return seconds(
            lambda: subprocess.run(
                command, env=environment, stdout=subprocess.DEVNULL, check=True
            ).check_returncode()
        )


def ledger_writes() -> tuple[float, float, float]:
    """Carry out the emulated home, and give transactions and rows per duty, octets per device."""
    counted = {"transactions": 0, "rows": 0}
    dirty = False

    def count(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal dirty
        if statement.split(None, 1)[0] in {"INSERT", "UPDATE", "DELETE"}:
            counted["rows"] += max(0, cursor.rowcount)
            dirty = True

    def commit(_connection: Any) -> None:
        nonlocal dirty
        counted["transactions"] += dirty
        dirty = False

    listeners = (("after_cursor_execute", count), ("commit", commit))
    with tempfile.TemporaryDirectory() as home, redirect_stdout(io.StringIO()):
        os.environ["KEYRIG_HOME"] = home
        for name, listener in listeners:
            event.listen(Engine, name, listener)
        try:
            if run_cli(["run", "--json"]):
                raise RuntimeError("the run failed")
        finally:
            for name, listener in listeners:
                event.remove(Engine, name, listener)
        with Ledger(ledger_path(), create=False) as ledger:
            run = ledger.runs.runs()[0]
            duties = len(ledger.runs.attempts(run.id))
            devices = len(ledger.device_facts.devices())
        octets = ledger_path().stat().st_size
    return counted["transactions"] / duties, counted["rows"] / duties, octets / devices


def next_due(devices: int) -> tuple[float, float, float]:
    """Make a ledger of `devices`, and give ms to the next duties due, ms to plan one device
    anew in it, and its octets per device.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        generate(path, devices)
        wrong = disagreements(path, 500)
        if wrong:
            raise RuntimeError(f"{wrong} devices' open duties are not those of the planner")
        with Ledger(path, create=False) as ledger:

            def find() -> None:
                assert len(ledger.open_duties.next_due(NOW, NEXT_DUE)) == NEXT_DUE

            first = ledger.open_duties.next_due(NOW, 1)[0].device
            found = min(seconds(find) for _ in range(NEXT_ROUNDS))
            refresh = min(
                seconds(lambda: ledger.open_duties.refresh(first, NOW)) for _ in range(NEXT_ROUNDS)
            )
        return found * 1000, refresh * 1000, path.stat().st_size / devices


def figure(name: str, value: float, unit: str, reach: float | None = None) -> dict[str, Any]:
    met = None if reach is None else value >= reach
    print(f"{name:58} {value:10.2f} {unit}" + ("" if met is None else f"  reach {reach}: {met}"))
    return {"name": name, "value": value, "unit": unit, "reach": reach, "met": met}


def messages() -> Iterator[dict[str, Any]]:
    if not RTDS.is_dir():
        print(f"no reference messages in {RTDS.name}; their figures are left out")
        return
    reference = Reference()
    rate, ratio = verification(reference)
    yield figure("reference messages verified and decoded", rate, "per s")
    yield figure("verification, share of bare cryptography", ratio, "ratio", REACH)
    rate, ratio = building(reference)
    yield figure("commands built, signed and MACed", rate, "per s")
    yield figure("building, share of bare cryptography", ratio, "ratio", REACH)


def conformance() -> Iterator[dict[str, Any]]:
    messages_folder, keystore = RTDS / "messages", RTDS / "keystore"
    if not RTDS.is_dir():
        print(f"no reference messages in {RTDS.name}; conformance is left out")
        return
    store = open_keystore(keystore)
    with conformance_bench.reference_mix(messages_folder, store) as (folder, is_whole):
        of = "the reference set" if is_whole else "the reference set's mix"
        found = conformance_bench.shares(folder, store)
        yield figure(f"conformance, {of}, one processor", found["messages"], "per s")
        yield figure(
            "  look-up, verification, decoding: share of bare", found["verified"], "ratio",
            CONFORMANCE_REACH,
        )  # fmt: skip
        yield figure("  with reading files and counting: share of bare", found["command"], "ratio")
        verifying, opening = conformance_bench.growth(folder, keystore)
        for size in conformance_bench.STORE_SIZES:
            name = f"{size:,} certificates"
            yield figure(f"the same verified with a key store of {name}", verifying[size], "ms")
            yield figure(f"opening a folder of {name}", opening[size], "s")
        least, most = (verifying[size] for size in conformance_bench.STORE_SIZES)
        yield figure("  fewest over most: 1 does not grow", least / most, "ratio", FLAT)


def runs() -> Iterator[dict[str, Any]]:
    yield figure("six-device run, emulated home over ptys", six_device_run(), "s")
    elapsed, joining = radio_bench.six_device_run()
    yield figure("six-device run over the emulated radio, from nothing", elapsed, "s")
    yield figure("  of which joining and key establishment", joining, "s")
    for version in (8, 13):
        rate, share = radio_bench.goodput(version)
        yield figure(f"tunnel goodput, EZSP {version}", rate, "kbit/s")
        yield figure("  as a share of what the air at 250 kbit/s allows", share, "ratio")


def ledger() -> Iterator[dict[str, Any]]:
    transactions, rows, octets = ledger_writes()
    yield figure("ledger transactions per duty", transactions, "count")
    yield figure("ledger rows written per duty", rows, "count")
    yield figure("ledger per device after its duties, messages and all", octets, "octets")
    found: dict[int, float] = {}
    for devices in DEVICES:
        found[devices], refresh, octets = next_due(devices)
        name = f"{devices:,} devices"
        yield figure(f"next {NEXT_DUE:,} duties due of {name}", found[devices], "ms")
        yield figure(f"planning one device anew among {name}", refresh, "ms")
        yield figure(f"ledger per device without messages, {name}", octets, "octets")
    growth = found[DEVICES[0]] / found[DEVICES[-1]]
    name = f"the same, {DEVICES[0]:,} over {DEVICES[-1]:,}: 1 does not grow"
    yield figure(name, growth, "ratio", FLAT)


def upstream() -> Iterator[dict[str, Any]]:
    yield figure("events told to an NDJSON file", upstream_bench.ndjson_rate(), "per s")
    told = upstream_bench.mqtt_rate()
    if told is None:
        print("mosquitto is not installed; its figure is left out")
    else:
        yield figure("events told to mosquitto, QoS 1, of 1,000 devices", told, "per s")
    waiting = f"{upstream_bench.DRAINED_EVENTS:,} waiting events"
    drains = (("NDJSON", upstream_bench.ndjson_drain), ("HTTP", upstream_bench.http_drain))
    for kind, drain in drains:
        first, middle, last = drain()
        yield figure(f"{waiting} to {kind}, first third", first, "per s")
        yield figure(f"{waiting} to {kind}, middle third", middle, "per s")
        yield figure(f"{waiting} to {kind}, last third", last, "per s")
        yield figure("  last over first: 1 does not slow", last / first, "ratio", FLAT)


def serve() -> Iterator[dict[str, Any]]:
    found = serve_bench.serve_figures()
    for clients, reads in found["status_reads_per_second"].items():
        for what, rate in reads.items():
            yield figure(f"status reads of {what}, {clients} clients", rate, "per s")
    for clients, times in found["run_to_first_event_s"].items():
        for what, value in times.items():
            name = f"run to its first event, {clients} clients, {what.replace('_', ' ')}"
            yield figure(name, value, "s")


def start_up() -> Iterator[dict[str, Any]]:
    for name, used in start_up_bench.start_up_figures().items():
        yield figure(f"processor time of {name}", used, "s")
        if budget := start_up_bench.BUDGETS_S.get(name):
            yield figure(f"  its budget of {budget:g} s over it", budget / used, "ratio", 1.0)


PARTS = (start_up, messages, conformance, runs, ledger, upstream, serve)


def main() -> None:
    wanted = sys.argv[1:]
    known = {part.__name__: part for part in PARTS}
    if unknown := set(wanted) - known.keys():
        sys.exit(f"no part {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    figures = [
        each for name, part in known.items() if not wanted or name in wanted for each in part()
    ]
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
