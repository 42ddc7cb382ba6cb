from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from keyrig.base.errors import SettingsError
from keyrig.cli import run_cli
from keyrig.config.settings import (
    DCCBoxedSettings,
    HTTPSUpstream,
    NDJSONUpstream,
    Settings,
    is_loopback,
    load_settings,
)
from keyrig.config.settings_listing import NAME, described_keys, example_lines

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
[serve]
listen = "127.0.0.1:9000"

[upstream.head-office]
kind = "https"
url = "https://events.example/keyrig"
bearer_token = { file = "token" }

[upstream.file]
kind = "ndjson"
path = "events.ndjson"
"""


@pytest.fixture(name="home")
def fixture_home(tmp_path: Path) -> Path:
    (tmp_path / "keyrig.toml").write_text(TEXT, encoding="utf-8")
    return tmp_path


def load(home: Path, **variables: str) -> Settings:
    return load_settings({"KEYRIG_HOME": str(home), **variables})


def refused(home: Path, text: str | None = None, **variables: str) -> str:
    if text is not None:
        (home / "keyrig.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(home, **variables)
    return str(caught.value)


def test_settings_without_a_file_are_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Settings()
    assert Settings().serve.listen == "127.0.0.1:8463"
    assert Settings().upstream == {}


def test_file_names_targets_by_their_tables(home: Path) -> None:
    office, file = load(home).upstream["head-office"], load(home).upstream["file"]
    assert isinstance(office, HTTPSUpstream)
    assert str(office.bearer_token) == "file token"
    assert isinstance(file, NDJSONUpstream)


def test_another_file_is_named_by_a_variable(home: Path) -> None:
    (home / "other.toml").write_text('[serve]\nlisten = "[::1]:1"\n', encoding="utf-8")
    assert load(home, KEYRIG_SETTINGS="other.toml").serve.listen == "[::1]:1"
    told = refused(home, KEYRIG_SETTINGS="none.toml")
    assert told == f"{home}/none.toml: there is no such file; correct KEYRIG_SETTINGS"


def test_variables_override_keys_and_add_tables(home: Path) -> None:
    read = load(
        home,
        KEYRIG_SERVE__LISTEN="127.0.0.1:1",
        KEYRIG_SERVE__RIGS='["a.toml", "b.toml"]',
        KEYRIG_UPSTREAM__HEAD_OFFICE__BATCH_MAXIMUM="7",
        KEYRIG_DCC_BOXED__ADDRESS="boxed.example",
        KEYRIG_LONG="1",
    )
    assert read.serve.listen == "127.0.0.1:1"
    assert read.serve.rigs == ("a.toml", "b.toml")
    office = read.upstream["head-office"]
    assert isinstance(office, HTTPSUpstream)
    assert (office.batch_maximum, office.url) == (7, "https://events.example/keyrig")
    assert read.dcc_boxed == DCCBoxedSettings(address="boxed.example")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("KEYRIG_SERVE__LISTN", "x", "unknown key 'serve.listn'; did you mean 'listen'?"),
        ("KEYRIG_SERVE__HEARTBEAT_S", "soon", "'serve.heartbeat_s' is 'soon'; input should be"),
        ("KEYRIG_SERVE__LISTEN__HOST", "x", "'serve.listen' is no table; see `keyrig settings`"),
        ("KEYRIG_UPSTREAM__NEW__PATH", "x", "'upstream.new': it needs a kind: https, mqtt"),
        ("KEYRIG_UPSTREAM__HEAD_OFFICE__BEARER_TOKEN", "hunter2", "a secret is never written"),
    ],
)
def test_fault_of_a_variable_is_told_by_its_name(
    home: Path, name: str, value: str, told: str
) -> None:
    error = refused(home, **{name: value})
    assert error.startswith(f"environment variable {name}: ")
    assert told in error
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("[serve\n", 1, "not TOML"),
        ('[serve]\nlistn = "x"\n', 2, "did you mean 'listen'?"),
        ('[serve]\nlisten = "8463"\n', 2, "it is HOST:PORT, or unix:PATH"),
        ('[serve]\nlisten = "host:70000"\n', 2, "it is HOST:PORT, or unix:PATH"),
        ('[serve]\nlisten = "unix:"\n', 2, "a path follows unix:"),
        ('[serve]\ntls_key = "k.pem"\n', 1, "tls_certificate and tls_key are given together"),
        ('[upstream.a]\nkind = "smtp"\n', 1, "it needs a kind: https, mqtt, ndjson"),
        ('[upstream.a]\nkind = "ndjson"\n', 1, "'upstream.a.path' is missing"),
        (
            '[upstream.a]\nkind = "https"\nurl = "http://events.example/"\n',
            3,
            "off this machine it begins with https://",
        ),
        (
            '[upstream.a]\nkind = "https"\nurl = "https://me:pw@events.example/"\n',
            3,
            "no name or password stands in it",
        ),
        (
            '[upstream.a]\nkind = "mqtt"\nhost = "broker.example"\ntls = false\n',
            1,
            "off this machine, tls must be true",
        ),
        (
            '[upstream.a]\nkind = "mqtt"\nhost = "::1"\npassword = "hunter2"\n',
            4,
            "a secret is never written here",
        ),
        (
            (
                '[upstream.a]\nkind = "mqtt"\nhost = "::1"\n'
                'password = { file = "a", keyring = "b/c" }\n'
            ),
            4,
            "name one of file, environment and keyring",
        ),
        (
            '[upstream.a]\nkind = "https"\nurl = "https://x/"\nclient_key = "k"\n',
            1,
            "client_certificate and client_key are given together",
        ),
        ("[dcc_boxed]\nduis_port = 1\n", 1, "'dcc_boxed.address' is missing"),
    ],
)
def test_fault_of_the_file_is_told_by_its_line(
    tmp_path: Path, text: str, line: int, told: str
) -> None:
    error = refused(tmp_path, text)
    assert error.startswith(f"{tmp_path}/keyrig.toml, line {line}: ")
    assert told in error
    for secret in ("hunter2", "me:pw"):
        assert secret not in error


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("127.0.0.1.example", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_this_machine_alone(host: str, *, is_own: bool) -> None:
    assert is_loopback(host) is is_own


def test_every_key_is_described_with_its_form() -> None:
    keys = described_keys()
    assert len(keys) > 30
    assert [key.name for key in keys if not key.description.endswith(".")] == []
    assert [key.name for key in keys if "<" in key.form or "class" in key.form] == []
    assert {key.location[0] for key in keys} == set(Settings.model_fields)


def test_example_holds_every_key_and_reads_as_settings() -> None:
    kept, tables = list[str](), 0
    for line in example_lines():
        assert line.startswith("#") or not line
        if line.startswith("#["):
            tables += 1
        if not line.startswith("# "):
            kept.append(line.removeprefix("#").replace(NAME, f"name{tables}"))
    read: dict[str, Any] = tomllib.loads("\n".join(kept))
    assert {table["kind"] for table in read["upstream"].values()} == {"https", "mqtt", "ndjson"}
    named = {(*key.location[:-1], key.kind, key.location[-1]) for key in described_keys()}
    assert len(named) == len(described_keys())
    assert read["serve"]["listen"] == Settings().serve.listen


def test_command_says_where_each_value_comes_from_and_shows_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "token").write_text("hunter2", encoding="utf-8")
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    monkeypatch.setenv("KEYRIG_SERVE__HEARTBEAT_S", "3")
    assert run_cli(["settings", "--json"]) == 0
    written = capsys.readouterr().out
    assert "hunter2" not in written
    document = json.loads(written)
    assert (document["schema"], document["exists"]) == (1, True)
    values = {v["at"]: (v["value"], v["from"]) for k in document["keys"] for v in k["values"]}
    assert values["serve.listen"] == ("127.0.0.1:9000", f"{home}/keyrig.toml, line 2")
    assert values["serve.heartbeat_s"] == (3.0, "environment variable KEYRIG_SERVE__HEARTBEAT_S")
    assert values["upstream.head-office.bearer_token"][0] == {"file": "token"}
    assert values["upstream.head-office.batch_maximum"] == (100, "default")
    assert "upstream.file.url" not in values
    assert run_cli(["settings"]) == 0
    assert f'serve.listen = "127.0.0.1:9000"  ({home}/keyrig.toml, line 2)' in (
        capsys.readouterr().out
    )
    assert run_cli(["settings", "--example"]) == 0
    assert "#[upstream.NAME]" in capsys.readouterr().out
    assert run_cli(["settings", "--example", "--json"]) == 2


def test_instant_among_the_settings_is_listed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"{TEXT}since = 2026-11-20T09:00:00Z\n"
    (home / "keyrig.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("KEYRIG_HOME", str(home))
    assert run_cli(["settings", "--json"]) == 0
    keys = json.loads(capsys.readouterr().out)["keys"]
    values = [value for key in keys for value in key["values"]]
    (told,) = [value for value in values if value["at"] == "upstream.file.since"]
    assert told["value"] == "2026-11-20T09:00:00.000Z"
    assert run_cli(["settings"]) == 0
    assert 'upstream.file.since = "2026-11-20T09:00:00.000Z"' in capsys.readouterr().out
