"""Requests as files: folders that are there, are not, are something else, or are used by many."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from authorities import new_key
from gbcs.certification_request import build_certification_request
from keyrig.base.errors import AuthorityUnavailable
from keyrig.keys.authority_by_hand import LIST_FILE, ByHandAuthority, remove_request, write_request
from keyrig.keys.certification_order import CertificationOrder, Later

from .bench import DEVICE, DS, KA, NOW, OTHER

if TYPE_CHECKING:
    from pathlib import Path

    from gbcs.entity_identifier import EntityIdentifier
    from gbcs.roles import KeyUsage


def order(device: EntityIdentifier = DEVICE, usage: KeyUsage = DS) -> CertificationOrder:
    request = build_certification_request(new_key(), usage, device)
    return CertificationOrder(device, usage, request, NOW)


def listed(folder: Path) -> list[str]:
    return (folder / LIST_FILE).read_text(encoding="utf-8").splitlines()


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_request_lies_there_as_pem_and_der_with_a_line_that_says_what_it_is(
    tmp_path: Path,
) -> None:
    asked = order()
    authority = ByHandAuthority(tmp_path / "a" / "b")
    answer = authority.certify(asked, NOW)
    assert isinstance(answer, Later)
    assert answer.folder == str(tmp_path / "a" / "b")
    pem = authority.folder / f"{asked.stem}.csr.pem"
    assert str(pem) in answer.answer
    assert x509.load_pem_x509_csr(pem.read_bytes()).public_bytes(Encoding.DER) == asked.request
    assert (authority.folder / f"{asked.stem}.csr.der").read_bytes() == asked.request
    (line,) = listed(authority.folder)
    assert line == f"{pem.name}: {asked.line}"
    for said in (str(DEVICE), "digitalSignature", asked.key_identifier.hex(), f"by {NOW:%Y-%m-%d}"):
        assert said in line
    assert visible(authority.folder) == {pem.name, f"{asked.stem}.csr.der", LIST_FILE}


def test_asking_again_writes_what_was_deleted_and_nothing_twice(tmp_path: Path) -> None:
    asked, other = order(), order(OTHER, KA)
    authority = ByHandAuthority(tmp_path)
    for each in (asked, other, asked):
        authority.certify(each, NOW)
    before = visible(tmp_path)
    assert len(listed(tmp_path)) == 2
    for path in tmp_path.iterdir():
        path.unlink()
    for each in (other, asked):
        authority.certify(each, NOW)
    assert visible(tmp_path) == before
    assert len(listed(tmp_path)) == 2


def test_file_that_was_spoilt_is_written_anew(tmp_path: Path) -> None:
    asked = order()
    write_request(tmp_path, asked)
    der = tmp_path / f"{asked.stem}.csr.der"
    der.write_bytes(b"")
    (tmp_path / LIST_FILE).write_bytes(b"\xff\xfe\0notes of the courier")
    write_request(tmp_path, asked)
    assert der.read_bytes() == asked.request
    assert len(listed(tmp_path)) == 1


def test_removing_leaves_the_other_requests_and_whatever_else_lies_there(tmp_path: Path) -> None:
    first, second = order(), order(OTHER)
    for each in (first, second):
        write_request(tmp_path, each)
    (tmp_path / "letter.txt").touch()
    remove_request(tmp_path, first.stem)
    remove_request(tmp_path, first.stem)
    remove_request(tmp_path / "nowhere", first.stem)
    assert len(listed(tmp_path)) == 1
    assert visible(tmp_path) == {
        f"{second.stem}.csr.pem",
        f"{second.stem}.csr.der",
        LIST_FILE,
        "letter.txt",
    }


def test_many_who_write_to_one_folder_at_once_lose_no_line(tmp_path: Path) -> None:
    orders = [order(usage=usage) for usage in (DS, KA) for _ in range(12)]
    failed: list[Exception] = []
    start = threading.Barrier(len(orders))

    def write(each: CertificationOrder) -> None:
        start.wait()
        try:
            ByHandAuthority(tmp_path).probe()
            write_request(tmp_path, each)
        except AuthorityUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(each,)) for each in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(listed(tmp_path)) == len(orders)


def as_file(folder: Path) -> None:
    folder.write_bytes(b"")


def below_a_file(folder: Path) -> None:
    folder.parent.rmdir()
    folder.parent.write_bytes(b"")


def as_link_to_nothing(folder: Path) -> None:
    folder.symlink_to(folder.parent / "gone" / "for" / "good" / "x")
    (folder.parent / "gone").write_bytes(b"")


def on_a_device_that_is_full(folder: Path) -> None:
    folder.symlink_to("/dev/full")


def in_the_kernels(folder: Path) -> None:
    folder.symlink_to("/proc")


@pytest.mark.parametrize(
    "spoil",
    [as_file, below_a_file, as_link_to_nothing, on_a_device_that_is_full, in_the_kernels],
)
def test_folder_that_cannot_be_written_is_named_by_the_probe_and_by_writing(
    tmp_path: Path, spoil: object
) -> None:
    assert callable(spoil)
    folder = tmp_path / "home" / "requests"
    folder.parent.mkdir()
    spoil(folder)
    authority = ByHandAuthority(folder)
    with pytest.raises(AuthorityUnavailable, match=f"folder {folder}"):
        authority.probe()
    with pytest.raises(AuthorityUnavailable, match=f"folder {folder}"):
        authority.certify(order(), NOW)


def test_disk_without_room_is_found_by_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an empty file can still be made."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AuthorityUnavailable, match="No space left on device"):
        ByHandAuthority(tmp_path).probe()
    assert list(tmp_path.iterdir()) == []


def test_probe_leaves_nothing_behind_and_follows_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    ByHandAuthority(tmp_path / "link").probe()
    assert list((tmp_path / "real").iterdir()) == []
    write_request(tmp_path / "link", order())
    assert len(visible(tmp_path / "real")) == 3


def test_folder_where_a_files_place_is_taken_is_told(tmp_path: Path) -> None:
    asked = order()
    (tmp_path / f"{asked.stem}.csr.der").mkdir()
    with pytest.raises(AuthorityUnavailable, match="Is a directory"):
        write_request(tmp_path, asked)
