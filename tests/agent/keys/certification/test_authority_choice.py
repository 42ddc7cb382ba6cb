"""Which certificate authority a rig file chooses, and what it may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyrig.base.errors import AuthorityMissing, RigFileInvalid
from keyrig.config.rig_file import parse_rig
from keyrig.keys.authority_by_command import CommandAuthority
from keyrig.keys.authority_by_hand import ByHandAuthority
from keyrig.keys.authority_choice import authority_of
from keyrig.keys.certificate_authority import NoAuthority, TestAuthority
from keyrig.keys.folder_store import FolderKeyStore

HOME = Path("/home-of-keyrig")
REAL, EMULATED = "/dev/ttyUSB0", "emulated:"


def rig_text(table: str, *urls: str) -> str:
    devices = "".join(
        f'[[device]]\nentity_id = "00-DB-12-34-56-78-90-A{number}"\ntype = "HCALCS"\n'
        f'link = {{ url = "{url}", framing = "hdlc" }}\n'
        for number, url in enumerate(urls)
    )
    return f'[rig]\nname = "bench"\n{table}\n{devices}'


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("", NoAuthority),
        ('[certification]\nby = "test"', TestAuthority),
        ('[certification]\nby = "by-hand"', ByHandAuthority),
        ('[certification]\nby = "command"\ncommand = ["certify"]', CommandAuthority),
    ],
)
def test_rig_of_real_devices_has_the_authority_that_its_file_names_and_no_other(
    table: str, kind: type, tmp_path: Path
) -> None:
    rig = parse_rig(rig_text(table, REAL), "rig.toml")
    assert type(authority_of(rig, HOME, FolderKeyStore(tmp_path))) is kind


def test_authority_that_is_not_there_is_named_with_what_to_write(tmp_path: Path) -> None:
    rig = parse_rig(rig_text("", REAL), "rig.toml")
    with pytest.raises(AuthorityMissing, match=r'rig bench: .*write \[certification\] by = "by-h'):
        authority_of(rig, HOME, FolderKeyStore(tmp_path)).probe()


def test_test_authority_stands_in_where_every_device_is_emulated_and_only_there() -> None:
    chosen = parse_rig(rig_text("", EMULATED, EMULATED), "rig.toml").certified_by
    assert chosen is not None
    assert chosen.by == "test"
    assert parse_rig(rig_text("", EMULATED, REAL), "rig.toml").certified_by is None


def test_requests_lie_below_the_home_by_the_rigs_name_or_where_the_file_says(
    tmp_path: Path,
) -> None:
    store = FolderKeyStore(tmp_path)
    for table, folder in (
        ("", HOME / "requests" / "bench"),
        ('folder = "out"', HOME / "out"),
        ('folder = "/srv/requests"', Path("/srv/requests")),
    ):
        text = rig_text(f'[certification]\nby = "by-hand"\n{table}', REAL)
        authority = authority_of(parse_rig(text, "rig.toml"), HOME, store)
        assert isinstance(authority, ByHandAuthority)
        assert authority.folder == folder


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('by = "smki"', "line 4: .*should be 'test', 'by-hand' or 'command'"),
        ('by = "command"', 'command, the program and its arguments, goes with by = "command"'),
        ('by = "test"\ncommand = ["x"]', 'goes with by = "command"'),
        ('by = "command"\ncommand = "x"', r'line 5: .* it is a list, such as \["…"\]'),
        ('by = "command"\ncommand = [""]', "line 5: "),
        ('by = "command"\ncommand = ["x"]\nfolder = "y"', 'folder goes with by = "by-hand"'),
        ('by = "by-hand"\ntimeout_s = 5', 'timeout_s goes with by = "command"'),
        ('by = "command"\ncommand = ["x"]\ntimeout_s = "60"', "line 6: .*valid number"),
        ('by = "command"\ncommand = ["x"]\ntimeout_s = 0', "line 6: .*greater than 0"),
        ('by = "by-hand"\nfolder = ""', "line 5: .*at least 1 character"),
        ('by = "by-hand"\nfoldr = "x"', "did you mean 'folder'"),
        ('folder = "x"', "'certification.by' is missing"),
    ],
)
def test_table_that_does_not_fit_is_refused_with_its_key(table: str, said: str) -> None:
    with pytest.raises(RigFileInvalid, match=said):
        parse_rig(rig_text(f"[certification]\n{table}", REAL), "rig.toml")
