"""Every place where a file from outside is read: as other systems write it, and made to do harm."""

from __future__ import annotations

import codecs
import json
import os
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.delivery.test_batch_reading import COMMAND, DOCUMENT
from agent.keys.test_hostile_bundle import zipped
from agent.run.test_inventory_facts import HUB_ENTRY, answer
from authorities import DEVICE, SUPPLIER, Authorities, new_key
from effort import at_most
from gbcs.certification_request import build_certification_request
from gbcs.protocol_errors import KeyrigError
from gbcs.roles import KeyUsage
from keyrig.base.errors import FileInvalid
from keyrig.base.outside_files import read_octets
from keyrig.config.rig_file import emulated_home_text, load_rig
from keyrig.config.secret_references import SecretPlace
from keyrig.config.settings import load_settings
from keyrig.delivery.batch_reading import read_commands
from keyrig.duties import rules
from keyrig.keys.authority_by_hand import write_request
from keyrig.keys.certification_order import CertificationOrder
from keyrig.keys.given_certificates import certificates_in
from keyrig.keys.store_opening import open_keystore
from keyrig.run import radio_inspection as radios
from keyrig.run.inventory_facts import read_inventory
from keyrig.run.radio_inspection import RadioPort, restore
from keyrig.run.radio_standings import read_standings
from keyrig.session.conformance import check_file
from keyrig_emulation.commissioning_mark import commissioned_at
from meterstub.device_memory import decode_state
from meterstub.radio.radio_memory import NetworkMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

PORT = RadioPort("hub", "socket://127.0.0.1:1", 115200, None)
BACKUP = {
    "metadata": {
        "format": "zigpy/open-coordinator-backup",
        "version": 1,
        "source": "é",
        "internal": {},
    },
    "coordinator_ieee": "0011223344556677",
    "pan_id": "1a2b",
    "extended_pan_id": "0011223344556677",
    "security_level": 5,
    "nwk_update_id": 0,
    "channel": 15,
    "channel_mask": [15],
    "network_key": {"key": "00" * 16, "sequence_number": 0, "frame_counter": 1},
    "devices": [],
}


def restored(path: Path) -> Any:
    """Read a backup as far as a radio would be given it."""
    given: list[str] = []

    def run(_: RadioPort, work: Coroutine[Any, Any, Any]) -> None:
        given.append(repr(work.cr_frame.f_locals["backup"]))  # type: ignore[attr-defined] # not in typing
        work.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radios, "_run", run)
        restore(PORT, path)
    return given


def secret(path: Path) -> Any:
    path.chmod(0o600)
    return SecretPlace(file=path.name).read(path.parent).get_secret_value()


def settings(path: Path) -> Any:
    return load_settings({"KEYRIG_HOME": str(path.parent), "KEYRIG_SETTINGS": path.name})


def made_at(path: Path) -> Any:
    return commissioned_at(path.rename(path.with_name("commissioned-at")).parent)


def read(path: Path) -> Any:
    return [(each.octets, each.request_id) for each in read_commands([path])]


TEXT_READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "rig file": (emulated_home_text(), load_rig),
    "rule file": (
        resources.files(rules.__package__).joinpath(rules.BUILT_IN).read_text(encoding="utf-8"),
        rules.load_rules,
    ),
    "settings": ("# é\n[serve]\nheartbeat_s = 5\n", settings),
    "backup": (json.dumps(BACKUP, indent=1, ensure_ascii=False), restored),
    "standings": (
        '{\n"radios": {"hub": {"state": "up"}}\n}\n',
        lambda path: read_standings(path, is_driven=True) or pytest.fail("nothing was read"),
    ),
    "secret": ("s\u00e9cret\n", secret),
    "hexadecimal commands": (f"{COMMAND.hex()}\n\n{COMMAND.hex()}\n", read),
    "emulated devices' making": ("2026-11-24T09:00:00+00:00\n", made_at),
}


def forms_of(text: str) -> list[bytes]:
    """Give a text as different systems write it."""
    windows = text.replace("\n", "\r\n")
    return [
        codecs.BOM_UTF8 + windows.encode(),
        text.replace("\n", "\r").encode(),
        windows.encode() + b"\x1a" * 40,
        text.encode() + b"\0" * 512,
        codecs.BOM_UTF16_LE + windows.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + text.encode("utf-16-be") + b"\0\x1a",
    ]


@pytest.mark.parametrize("place", TEXT_READERS)
def test_text_file_of_any_system_is_read_the_same_in_every_place(
    place: str, tmp_path: Path
) -> None:
    text, reads = TEXT_READERS[place]
    path = tmp_path / "file.hex"
    path.write_bytes(text.encode())
    expected = reads(path)
    for octets in forms_of(text):
        path.write_bytes(octets)
        assert reads(path) == expected


def test_xml_documents_may_be_padded_and_in_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(DOCUMENT.encode())
    expected = read(path)
    utf_16 = DOCUMENT.replace("UTF-8", "UTF-16")
    for octets in (
        codecs.BOM_UTF8 + DOCUMENT.replace("\n", "\r\n").encode() + b"\x1a\0\0",
        codecs.BOM_UTF16_LE + utf_16.encode("utf-16-le") + b"\x1a",
        codecs.BOM_UTF16_BE + utf_16.encode("utf-16-be") + b"\0\0",
    ):
        path.write_bytes(octets)
        assert read(path) == expected
    inventory = answer(HUB_ENTRY)
    assert read_inventory(inventory + b"\r\n\x1a", "x") == read_inventory(inventory, "x")


def test_raw_message_keeps_the_octets_that_pad_texts(tmp_path: Path) -> None:
    path = tmp_path / "raw.hex"
    path.write_bytes(COMMAND + b"\x1a\0")
    assert read(path) == [(COMMAND + b"\x1a\0", None)]


def keystore_files() -> dict[str, bytes]:
    authorities, key = Authorities(), new_key()
    certificate = authorities.organisation(
        public_key=key.public_key(), key_usage=KeyUsage.KEY_AGREEMENT
    )
    return {
        f"{SUPPLIER.stem}-ka.pem": certificate.decoded.public_bytes(Encoding.PEM),
        f"{SUPPLIER.stem}-ka.key": key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    }


@pytest.mark.parametrize(
    "kept",
    [
        lambda pem: codecs.BOM_UTF8 + pem.replace(b"\n", b"\r\n") + b"\x1a",
        lambda pem: pem.decode().encode("utf-16"),
        lambda pem: b"Subject: keys, ENCRYPTED no more\n\n" + pem + b"\n-- \nGr\xfc\xdfe",
        lambda pem: b"".join(b"\t" + line + b" \r\n" for line in pem.splitlines()),
        lambda pem: b"\n".join(
            [pem.splitlines()[0], b"".join(pem.splitlines()[1:-1]), pem.splitlines()[-1]]
        ),
    ],
)
def test_certificates_and_keys_are_read_however_they_were_kept(
    kept: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    for name, pem in keystore_files().items():
        (tmp_path / name).write_bytes(kept(pem))
    store = open_keystore(tmp_path)
    assert store.problems == ()
    assert store.agreer(SUPPLIER) is not None


HOSTILE: dict[str, bytes] = {
    "brackets": b"[" * 200_000,
    "objects": b'{"a":' * 2000 + b"1" + b"}" * 2000,
    "arrays of TOML": b"a = " + b"[" * 1000 + b"]" * 1000,
    "integer": b"a = " + b"1" * 6000,
    "integer of JSON": b'{"metadata":' + b"1" * 6000 + b"}",
    "parts": b".".join([b"a"] * 100_000) + b" = 1",
    "half a character": b'{"radios": "\\ud800"}',
    "NaN": b'{"a": NaN}',
    "twice": b'{"a": 1, "a": 2}',
    "NULs": b"a\0b" * 50,
    "half of UTF-16": codecs.BOM_UTF16_LE + b"\x00\xd8" * 5,
    "Latin-1": b"# \xe9\n",
    "other JSON": b'{"radios": [1], "metadata": [], "format": {}, "version": 1}',
    "other TOML": b"[rig]\nname = 1979-05-27\n[serve]\nheartbeat_s = inf\n",
    "a path with a NUL": b'[pki]\nkeystore = "a\\u0000b"\n[rules]\nfile = "\\u0000"\n',
    "a time out of time": b"a = 0001-01-01T00:00:00+23:59\n",
    "ends of zip": b"PK\x03\x04" + b"PK\x01\x02" * 50 + b"PK\x05\x06" + b"\xff" * 18,
    "XML": b"<a>" * 5000,
    "nothing": b"",
}
READERS: dict[str, Callable[[Path], Any]] = {
    **{place: reads for place, (_, reads) in TEXT_READERS.items()},
    "key store": open_keystore,
    "inventory": lambda path: read_inventory(path.read_bytes(), path.name),
    "rules of evidence": lambda path: rules.rules_from_canonical(
        path.read_bytes().decode("latin-1"), path.name
    ),
    "conformance": lambda path: check_file(path, None),  # type: ignore[arg-type] # not reached
    "device memory": lambda path: decode_state(path.read_bytes()),
    "network memory": NetworkMemory,
}


@pytest.mark.parametrize("place", READERS)
def test_file_that_is_made_to_do_harm_ends_soon_by_the_projects_own_error(
    place: str, tmp_path: Path
) -> None:
    for number, octets in enumerate(HOSTILE.values()):
        path = tmp_path / str(number) / "file.hex"
        path.parent.mkdir()
        path.write_bytes(octets)
        with at_most(2.0):
            try:
                READERS[place](path)
            except KeyrigError as error:
                assert str(error).isprintable()  # noqa: PT017 - some are read, as they may be
            except pytest.fail.Exception:
                pass
        assert read_octets(path.parent / next(path.parent.iterdir()).name) == octets


def test_what_an_authority_gave_is_read_soon_and_in_any_form() -> None:
    pem = keystore_files()[f"{SUPPLIER.stem}-ka.pem"]
    (certificate,) = certificates_in(pem, "x")
    for kept in (
        pem.decode().encode("utf-16"),
        b"".join(b"> \t".replace(b">", b" ") + line + b"\r" for line in pem.splitlines()),
        b"Gr\xfc\xdfe\n" + pem + b"\x1a",
    ):
        assert [each.certificate for each in certificates_in(kept, "x")] == [
            certificate.certificate
        ]
    with pytest.raises(FileInvalid, match="a PEM block without its end"):
        certificates_in(pem + b"-----BEGIN CERTIFICATE-----\ncut", "x")
    with at_most(2.0), pytest.raises(FileInvalid, match="a PEM block without its end"):
        certificates_in(b"-----BEGIN CERTIFICATE-----\n" * 140_000, "x")
    inner = zipped({"a.pem": pem})
    assert len(certificates_in(inner, "x")) == 1
    with pytest.raises(FileInvalid, match="a zip within a zip"):
        certificates_in(zipped({"b.zip": inner}), "x")


def test_folder_of_requests_is_for_its_owner_to_write_and_others_to_read(tmp_path: Path) -> None:
    request = build_certification_request(new_key(), KeyUsage.KEY_AGREEMENT, DEVICE)
    order = CertificationOrder(DEVICE, KeyUsage.KEY_AGREEMENT, request, None)
    folder = tmp_path / "a" / "requests"
    before = os.umask(0)
    try:
        write_request(folder, order)
    finally:
        os.umask(before)
    modes = {each: each.stat().st_mode & 0o777 for each in (folder.parent, folder)}
    assert set(modes.values()) == {0o755}
    assert not any(each.stat().st_mode & 0o022 for each in folder.iterdir())
