"""The radio over raw ASH and EZSP, without bellows' own machinery."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, as the rule asks
from typing import TYPE_CHECKING, Any

import bellows.types as t
import pytest
from bellows.ezsp.v8.commands import COMMANDS as V8
from bellows.ezsp.v13.commands import COMMANDS as V13

from meterstub.device_memory import MemoryDamaged
from meterstub.radio.ash import FLAG, ResetCode, decode_frame, encode_frame, randomise
from meterstub.radio.emulated_radio import EmulatedRadio
from meterstub.radio.ezsp_handlers import RadioKind
from meterstub.radio.radio_air import Air, Conditions
from meterstub.radio.radio_faults import RadioFault, RadioFaultKind, parse_radio_fault
from meterstub.radio.radio_memory import NetworkMemory
from meterstub.radio.zigbee_stack import JoinKind

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {8: V8, 13: V13}
RADIO = 0x00DB1234567890AF
every_version = pytest.mark.parametrize("version", [8, 13])


class Host:
    """Sends commands and reads what comes back, one at a time."""

    def __init__(self, version: int = 13, memory: NetworkMemory | None = None) -> None:
        self.version = version
        self.air = Air(conditions=Conditions(bit_rate=None))
        self.memory = memory or NetworkMemory()
        self.radio = EmulatedRadio(
            RadioKind(RADIO, version=version),
            air=self.air,
            memory=self.memory,
            random_octets=random.Random(1).randbytes,
        )
        self.names = {entry[0]: name for name, entry in TABLES[version].items()}
        self.now = 0.0
        self._number = self._expected = self._sequence = 0
        self.reset()

    def reset(self) -> None:
        self._number = self._expected = 0
        self.radio.receive_data(b"\x1a" + encode_frame(b"\xc0"), self.now)
        assert self.radio.data_to_send(self.now) == encode_frame(
            bytes((0xC1, 2, ResetCode.SOFTWARE))
        )

    def exchange(self, octets: bytes) -> list[bytes]:
        """Send one EZSP frame; give those that came back."""
        frame = bytes((self._number << 4 | self._expected,)) + randomise(octets)
        self._number = (self._number + 1) % 8
        self.radio.receive_data(encode_frame(frame), self.now)
        return self.pick_up()

    def pick_up(self, seconds: float = 0.0) -> list[bytes]:
        found = []
        self.now += seconds
        self.radio.handle_deadline(self.now)
        while octets := self.radio.data_to_send(self.now):
            for stuffed in octets.split(bytes((FLAG,))):
                body = decode_frame(stuffed) if stuffed else None
                if body is not None and not body[0] & 0x80:
                    self._expected = (self._expected + 1) % 8
                    found.append(randomise(body[1:]))
            self.radio.receive_data(encode_frame(bytes((0x80 | self._expected,))), self.now)
            self.radio.handle_deadline(self.now)
        return found

    def negotiate(self) -> Host:
        assert self.exchange(bytes((0, 0, 0, 4)))
        assert self.exchange(bytes((1, 0, 1, 0, 0, self.version)))
        return self

    def ask(self, name: str, **arguments: Any) -> list[tuple[str, dict[str, Any]]]:
        """Send a command; give the response and the callbacks, in their order."""
        number, schema, _ = TABLES[self.version][name]
        self._sequence = (self._sequence + 1) % 256
        header = bytes((self._sequence, 0, 1)) + number.to_bytes(2, "little")
        body = t.serialize_dict((), arguments, schema)
        return [self.read(octets) for octets in self.exchange(header + body)]

    def read(self, octets: bytes) -> tuple[str, dict[str, Any]]:
        name = self.names[int.from_bytes(octets[3:5], "little")]
        values, rest = t.deserialize_dict(octets[5:], TABLES[self.version][name][2])
        assert rest == b""
        return name, values

    def form(self) -> Host:
        key = t.KeyData.deserialize(bytes(range(16)))[0]
        eui64 = t.EUI64.deserialize(bytes(8))[0]
        bits = t.EmberInitialSecurityBitmask
        self.ask(
            "setInitialSecurityState",
            state=t.EmberInitialSecurityState(
                bitmask=bits.HAVE_PRECONFIGURED_KEY | bits.HAVE_NETWORK_KEY,
                preconfiguredKey=key,
                networkKey=key,
                networkKeySequenceNumber=3,
                preconfiguredTrustCenterEui64=eui64,
            ),
        )
        found = self.ask("formNetwork", parameters=network())
        assert [name for name, _ in found] == ["formNetwork", "stackStatusHandler"]
        assert found[1][1]["status"] == t.EmberStatus.NETWORK_UP
        return self


def network(channel: int = 15) -> Any:
    return t.EmberNetworkParameters(
        extendedPanId=t.ExtendedPanId(bytes(range(8))),
        panId=0x1A62,
        radioTxPower=8,
        radioChannel=channel,
        joinMethod=t.EmberJoinMethod.USE_MAC_ASSOCIATION,
        nwkManagerId=0,
        nwkUpdateId=0,
        channels=t.Channels.from_channel_list([channel]),
    )


def aps(options: int = 0, group: int = 0) -> Any:
    return t.EmberApsFrame(
        profileId=0x0109,
        clusterId=0x0704,
        sourceEndpoint=1,
        destinationEndpoint=1,
        options=t.EmberApsOption(options),
        groupId=group,
        sequence=0,
    )


def unicast(host: Host, payload: bytes, options: int = 0x40) -> list[tuple[str, dict[str, Any]]]:
    return host.ask(
        "sendUnicast",
        type=t.EmberOutgoingMessageType.OUTGOING_DIRECT,
        indexOrDestination=0x1234,
        apsFrame=aps(options),
        messageTag=7,
        messageContents=payload,
    )


@every_version
def test_the_version_is_asked_for_with_the_old_header_and_set_with_the_new(version: int) -> None:
    host = Host(version)
    (first,) = host.exchange(bytes((9, 0, 0, 4)))
    assert first[:5] == bytes((9, 0x80, 0, version, 2))
    (second,) = host.exchange(bytes((10, 0, 1, 0, 0, version)))
    assert second[:6] == bytes((10, 0x80, 1, 0, 0, version))


@every_version
def test_before_the_version_is_set_nothing_else_is_carried_out(version: int) -> None:
    (answer,) = Host(version).ask("getEui64")
    assert answer == ("invalidCommand", {"status": t.EzspStatus.ERROR_VERSION_NOT_SET})


@every_version
def test_unknown_and_short_commands_are_refused(version: int) -> None:
    host = Host(version).negotiate()
    (unknown,) = host.exchange(bytes((2, 0, 1, 0xFE, 0x7F)))
    assert host.read(unknown)[1] == {"status": t.EzspStatus.ERROR_INVALID_FRAME_ID}
    number = TABLES[version]["permitJoining"][0]
    (short,) = host.exchange(bytes((3, 0, 1)) + number.to_bytes(2, "little"))
    assert host.read(short)[1] == {"status": t.EzspStatus.ERROR_TRUNCATED}
    (refused,) = host.ask("getRouteTableEntry", index=0)
    assert refused == ("invalidCommand", {"status": t.EzspStatus.ERROR_INVALID_FRAME_ID})


@every_version
def test_the_network_outlives_a_reset_and_what_the_host_set_does_not(
    version: int, tmp_path: Path
) -> None:
    memory = NetworkMemory(tmp_path / "radio.json")
    host = Host(version, memory).negotiate().form()
    host.ask("setPolicy", policyId=t.EzspPolicyId.TRUST_CENTER_POLICY, decisionId=1)
    host.reset()
    host.negotiate()
    assert host.ask("networkState")[0][1]["status"] == t.EmberNetworkStatus.NO_NETWORK
    policy = host.ask("getPolicy", policyId=t.EzspPolicyId.TRUST_CENTER_POLICY)
    assert policy[0][1]["decisionId"] == 0
    names = [name for name, _ in host.ask("networkInit", networkInitBitmask=0)]
    assert names == ["networkInit", "stackStatusHandler"]
    values = host.ask("getNetworkParameters")[0][1]
    assert (int(values["parameters"].panId), int(values["parameters"].radioChannel)) == (0x1A62, 15)
    again = NetworkMemory(tmp_path / "radio.json").kept.network
    assert again is not None
    assert again == host.radio.stack.state
    assert (again.network_key, again.network_key_sequence) == (bytes(range(16)), 3)


def test_a_memory_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "radio.json"
    for text in ("{", "[]", '{"format": "x", "version": 1}'):
        path.write_text(text)
        with pytest.raises(MemoryDamaged):
            NetworkMemory(path)


def test_there_is_no_network_without_security_or_on_no_channel() -> None:
    host = Host().negotiate()
    (refused,) = host.ask("formNetwork", parameters=network())
    assert refused[1]["status"] == t.EmberStatus.SECURITY_STATE_NOT_SET
    (nothing,) = host.ask("networkInit", networkInitBitmask=0)
    assert nothing[1]["status"] == t.EmberStatus.NOT_JOINED
    host.form()
    (twice,) = host.ask("formNetwork", parameters=network())
    assert twice[1]["status"] == t.EmberStatus.INVALID_CALL


def test_a_packet_that_is_too_long_is_refused() -> None:
    host = Host().negotiate().form()
    encrypted, blocks = 0x20, 0x8000
    for options, longest in ((0, 82), (encrypted, 73), (encrypted | blocks, 71)):
        (refused,) = unicast(host, bytes(longest + 1), options)
        assert refused[1]["status"] == t.EmberStatus.MESSAGE_TOO_LONG
        assert unicast(host, bytes(longest), options)[0][1]["status"] == t.EmberStatus.SUCCESS


def test_what_became_of_a_packet_is_told_after_the_response() -> None:
    host = Host().negotiate().form()
    (response, sent) = unicast(host, b"payload")
    assert response[0] == "sendUnicast"
    assert sent[0] == "messageSentHandler"
    assert sent[1]["status"] == t.EmberStatus.DELIVERY_FAILED
    assert (sent[1]["messageTag"], int(sent[1]["indexOrDestination"])) == (7, 0x1234)
    assert sent[1]["apsFrame"].sequence == response[1]["sequence"]


def test_the_table_of_link_keys_has_its_size() -> None:
    host = Host(8).negotiate().form()
    statuses = [
        host.ask(
            "addOrUpdateKeyTableEntry",
            address=t.EUI64.deserialize(bytes((number,)) * 8)[0],
            linkKey=True,
            keyData=t.KeyData.deserialize(bytes(16))[0],
        )[0][1]["status"]
        for number in range(17)
    ]
    assert statuses == [t.EmberStatus.SUCCESS] * 16 + [t.EmberStatus.TABLE_FULL]


def test_key_establishment_gives_both_ends_the_same() -> None:
    host = Host(8).negotiate().form()
    own = host.ask("getCertificate283k1")[0][1]["localCert"]
    (begun,) = host.ask("generateCbkeKeys283k1")
    assert begun[1]["status"] == t.EmberStatus.OPERATION_IN_PROGRESS
    ((name, values),) = [host.read(octets) for octets in host.pick_up(1.0)]
    assert name == "generateCbkeKeysHandler283k1"
    ephemeral = values["ephemeralPublicKey"]
    macs = []
    for is_initiator in (True, False):
        host.ask(
            "calculateSmacs283k1",
            amInitiator=is_initiator,
            partnerCertificate=own,
            partnerEphemeralPublicKey=ephemeral,
        )
        ((_, result),) = [host.read(octets) for octets in host.pick_up(1.0)]
        macs.append((result["initiatorSmac"], result["responderSmac"]))
    assert macs[0] == macs[1]
    assert macs[0][0] != macs[0][1]


def test_a_child_that_sleeps_is_told_of_before_it_is_let_in() -> None:
    host = Host().negotiate().form()
    state = host.radio.stack.state
    assert state is not None
    state.sleepy.add(0xA1)
    host.radio.node_changed(0xA1, 0x1234, JoinKind.UNSECURED_JOIN, denied=False)
    host.radio.node_changed(0xA0, 0x1235, JoinKind.UNSECURED_JOIN, denied=True)
    told = [host.read(octets) for octets in host.pick_up()]
    assert [name for name, _ in told] == [
        "childJoinHandler",
        "trustCenterJoinHandler",
        "trustCenterJoinHandler",
    ]
    assert (int(told[0][1]["childId"]), bool(told[0][1]["joining"])) == (0x1234, True)
    assert told[2][1]["policyDecision"] == t.EmberJoinDecision.DENY_JOIN


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset-after=40", RadioFault(RadioFaultKind.RESET, 40)),
        ("rotate-key-after=1", RadioFault(RadioFaultKind.ROTATE_KEY, 1)),
        ("unplug-after=3:1.5", RadioFault(RadioFaultKind.UNPLUG, 3, seconds=1.5)),
        (
            "leave-after=3:00-DB-12-34-56-78-90-A0",
            RadioFault(RadioFaultKind.LEAVE, 3, eui64=0xDB1234567890A0),
        ),
    ],
)
def test_a_fault_is_read(text: str, fault: RadioFault) -> None:
    assert parse_radio_fault(text) == fault


@pytest.mark.parametrize("text", ["", "reset-after=0", "reset-after=1:2", "unplug-after=3", "x=1"])
def test_another_text_is_no_fault(text: str) -> None:
    with pytest.raises(ValueError, match="no fault"):
        parse_radio_fault(text)
