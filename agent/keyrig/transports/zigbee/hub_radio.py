"""The radio as a Communications Hub: its network, and the devices that it admits.

Everything here runs in the event loop of the radio's thread; `radio_thread` has what other threads
call.

Theory of operation. `reach` first tries a device that the radio knows and has a link key with: a
tunnel is opened within REOPEN_S. Otherwise, or if that fails, the network is opened for this device
alone, with the link key of its install code, until it has established keys or a tunnel is open;
then it is closed, whatever happened. A radio without Smart Energy security admits nobody.

Key establishment: the devices begin it, and the hub responds. `Responder` has the protocol and does
no cryptography: it asks for an ephemeral key and for MACs, which the radio computes in tasks. The
link key is stored before the last frame leaves, since the device uses it from then on; a device
whose key cannot be stored counts as not reached.

Receiving: frames of nodes without a session are ignored. Only key establishment is accepted without
APS encryption.

Sending: each device has a queue and a task, so frames leave in order, and a device that does not
acknowledge delays only itself. A frame without acknowledgement in time is neither delivered nor
failed: the tunnel's own time-out decides, since it may have arrived.

Loss of the radio: `RadioRole` reconnects, `until_up` holds up what would be sent, and sessions keep
their messages. Devices that had been reached get a new tunnel; they need not join again, since the
radio keeps the network and the link keys. When it is given up, every waiting sender fails.

Source: GBCS 10.2.2 and 10.4; ZSE 1.4, annexes C and D.6.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Literal

import zigpy.exceptions
from typing_extensions import override

from gbcs.protocol_errors import DecodeError
from keyrig.base import events
from keyrig.base.errors import (
    NodeUnreachable,
    RadioError,
    RadioLacksSmartEnergy,
    RadioLost,
    RadioRefused,
)
from keyrig.base.observing import Observer, unobserved
from keyrig.base.private_files import make_private_database
from keyrig.transports.zigbee.radio_role import (
    FAULTS,
    RadioRole,
    RadioState,
    RoleSettings,
    dashed,
    reason_of,
)
from keyrig.transports.zigbee.tunnel_session import MainsSession, Session, SleepySession
from keyrig.transports.zigbee.zigpy_application import (
    RESTING_POLICY,
    PacketListener,
    SmartEnergyApplication,
)
from meterlink.link_events import NeedData
from zse.key_establishment import (
    EphemeralKeyNeeded,
    KeyEstablished,
    KeyEstablishmentFailed,
    MessageRefused,
    Responder,
    SecretNeeded,
)
from zse.smart_energy_commands import KEY_ESTABLISHMENT, TUNNELING
from zse.smart_energy_enumerations import KeyEstablishmentStatus
from zse.zcl_frames import Outgoing, decode_frame

if TYPE_CHECKING:
    from keyrig.transports.zigbee.tunnel_session import Reached

START_TIMEOUT_S: Final = 40.0
REOPEN_S: Final = 12.0
"""How long a device that should be in the network may take to open a tunnel, before it is
admitted again."""
ADMIT_S: Final = 240
"""How long the network is opened for one device at most; ZigBee permits 254 s."""


class Hub(RadioRole, PacketListener):
    """The hub's side of the network.

    Args:
        settings: The radio.
        observe: Called with each event.
    """

    def __init__(self, settings: RoleSettings, observe: Observer = unobserved) -> None:
        super().__init__(settings, observe)
        self._app: SmartEnergyApplication | None = None
        self._responder: Responder | None = None
        self._lacks: RadioLacksSmartEnergy | None = None
        self._sessions: dict[int, Session] = {}
        self._queues: dict[int, asyncio.Queue[tuple[Outgoing, int]]] = {}
        self._established: dict[int, asyncio.Event] = {}
        self._joining: set[int] = set()
        self._key_faults: dict[int, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def app(self) -> SmartEnergyApplication:
        """Zigpy's controller.

        Raises:
            RadioLost: The radio is not there.
        """
        if self._app is None or self.state is not RadioState.UP:
            raise RadioLost(self.where, self.reason or "not started")
        return self._app

    # Start, loss and return of the radio.

    def _forget(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._queues.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _lost(self) -> None:
        for session in self._sessions.values():
            session.radio_losses += 1

    def _back(self) -> None:
        for session in self._sessions.values():
            if session.is_reached:
                session.begin()

    def _given_up(self, error: RadioLost) -> None:
        for session in self._sessions.values():
            session.fail(error)

    async def _connect(self) -> None:
        app = self._app = SmartEnergyApplication(self._configuration(), self)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._start_network(app)
                await self._prepare_keys(app)
        except BaseException:
            self._app = None
            await _shut(app)
            raise
        self._show_network(app)

    async def _start_network(self, app: SmartEnergyApplication) -> None:
        await app._load_db()  # noqa: SLF001 - `new` does the same, and takes no listener
        await app.connect()
        try:
            await app.initialize(auto_form=False)
        except zigpy.exceptions.NetworkNotFormed:
            self._observe(events.Forming(radio=self.settings.name, channel=self.settings.channel))
            await app.form_network()
            # Forming resets the radio, and with that it forgets its endpoints.
            await app.disconnect()
            await app.connect()
            await app.initialize(auto_form=False)

    def _configuration(self) -> dict[str, Any]:
        settings = self.settings
        if settings.database is not None:
            # zigpy keeps the network's key there, and opens it by its path.
            make_private_database(settings.database)
        return {
            "device": {
                "path": settings.url,
                "baudrate": settings.baud,
                "flow_control": settings.flow_control,
            },
            "database_path": str(settings.database) if settings.database else None,
            "backup_enabled": False,
            "startup_energy_scan": False,
            "topology_scan_enabled": False,
            "use_thread": False,
            "ezsp_policies": {"TRUST_CENTER_POLICY": int(RESTING_POLICY)},
            "network": {"channel": settings.channel, "channels": [settings.channel]},
        }

    async def _prepare_keys(self, app: SmartEnergyApplication) -> None:
        try:
            identity = await app.smart_energy.own_certificate()
        except RadioLacksSmartEnergy as error:
            # A network without it can be inspected; no device is admitted.
            self._lacks = error
            self._observe(events.RadioLacksSmartEnergy(radio=self.settings.name, why=str(error)))
            return
        eui64 = int.from_bytes(app.state.node_info.ieee.serialize(), "little")
        self._responder = Responder(own_address=eui64, identity=identity)

    def _show_network(self, app: SmartEnergyApplication) -> None:
        info = app.state.network_info
        self._observe(
            events.Network(
                radio=self.settings.name,
                channel=int(info.channel),
                pan_id=f"{int(info.pan_id):04X}",
                extended_pan_id=str(info.extended_pan_id),
                version=str(app.state.node_info.version),
            )
        )

    async def _disconnect(self) -> None:
        app, self._app = self._app, None
        if app is not None:
            await _shut(app)

    # Devices.

    @override
    def session(self, eui64: int, *, name: str, sleeps: bool) -> Session:
        known = self._sessions.get(eui64)
        if known is None:
            kind = SleepySession if sleeps else MainsSession
            known = self._sessions[eui64] = kind(
                name,
                next_sequence=self._next_sequence,
                send=lambda outgoing, cluster: self._queue(eui64, outgoing, cluster),
                clock=asyncio.get_running_loop().time,
            )
        return known

    @override
    async def reach(self, eui64: int, link_key: bytes, session: Reached, timeout_s: float) -> None:
        assert isinstance(session, Session)
        await self.until_up()
        stage = "the radio does not answer"
        try:
            async with asyncio.timeout(timeout_s):
                if await self._is_member(eui64):
                    stage = "no tunnel was opened"
                    session.begin()
                    if await self._opens(session, REOPEN_S):
                        self._tell_open(eui64, session)
                        return
                # It is new, left unnoticed, or is out of range.
                stage = f"it did not join within {timeout_s:g} s"
                await self._admit(eui64, link_key, session, timeout_s)
                stage = "no tunnel was opened"
                session.begin()
                await session.is_open.wait()
                self._tell_open(eui64, session)
        except TimeoutError:
            raise NodeUnreachable(session.name, self._why(eui64, session) or stage) from None
        except FAULTS as error:
            raise NodeUnreachable(session.name, f"{stage}: {reason_of(error)}") from error

    def _tell_open(self, eui64: int, session: Session) -> None:
        session.is_reached = True
        self._tell_state(eui64, "sleeps, fetches what waits" if session.sleeps else "tunnel open")

    async def _opens(self, session: Session, within_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await session.is_open.wait()
        return session.is_open.is_set()

    def _why(self, eui64: int, session: Session) -> str:
        """Return why a device could not be reached, as far as is known, or ""."""
        if eui64 in self._joining:
            return (
                "it asked to join and did not come back with the network's key: its install code "
                "is another, or it is hardly heard"
            )
        return self._key_faults.get(eui64, "") or session.trouble

    async def _is_member(self, eui64: int) -> bool:
        app = self.app
        return await app.find_node(eui64) is not None and await app.has_link_key(eui64)

    async def _admit(self, eui64: int, link_key: bytes, session: Session, timeout_s: float) -> None:
        if self._lacks is not None:
            raise self._lacks
        established = self._established.setdefault(eui64, asyncio.Event())
        established.clear()
        self._joining.discard(eui64)
        self._tell_state(eui64, "let in to join")
        app = self.app
        await app.admit(eui64, link_key, min(ADMIT_S, max(1, round(timeout_s))))
        joined = asyncio.ensure_future(established.wait())
        returned = asyncio.ensure_future(session.is_open.wait())
        try:
            await asyncio.wait({joined, returned}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (joined, returned):
                each.cancel()
            with contextlib.suppress(*FAULTS, RadioError):
                await app.close_network()

    # Notifications of the application.

    @override
    def packet_received(
        self, eui64: int, cluster: int, endpoint: int, octets: bytes, *, is_encrypted: bool
    ) -> None:
        try:
            frame = decode_frame(cluster, octets)
        except DecodeError as error:
            self._observe(events.Noise(link=self._name(eui64), reason=str(error)))
            return
        session = self._sessions.get(eui64)
        if session is None:
            return  # It is in the network and not on the rig, or not reached yet.
        if cluster == KEY_ESTABLISHMENT:
            self._joining.discard(eui64)
            session.endpoint = endpoint
            self._receive_keys(eui64, frame)
        elif is_encrypted:
            session.receive(cluster, endpoint, frame)
        else:
            self._observe(events.Noise(link=session.name, reason="a frame without APS encryption"))

    @override
    def node_joined(self, eui64: int, *, denied: bool) -> None:
        session = self._sessions.get(eui64)
        if session is not None and not denied:
            self._joining.add(eui64)
            session.endpoint = None
        state: Literal["kept out", "joined"] = "kept out" if denied else "joined"
        self._observe(events.Node(radio=self.settings.name, device=dashed(eui64), state=state))
        self._tell_state(eui64, state)

    @override
    def node_left(self, eui64: int) -> None:
        self._observe(events.Node(radio=self.settings.name, device=dashed(eui64), state="left"))
        self._tell_state(eui64, "left")
        if self._app is not None:
            self._app.forget_node(eui64)
        session = self._sessions.get(eui64)
        if session is not None:
            session.is_reached = False
            session.trouble = "it left the network"
            session.fail(NodeUnreachable(session.name, session.trouble))

    @override
    def network_key_switched(self, sequence: int) -> None:
        self._observe(events.NetworkKey(radio=self.settings.name, sequence=sequence))

    def _name(self, eui64: int) -> str:
        session = self._sessions.get(eui64)
        return session.name if session is not None else dashed(eui64)

    # Key establishment.

    def _receive_keys(self, eui64: int, frame: Any) -> None:
        if self._responder is not None:
            self._responder.receive(frame, eui64, self._now())
            self._serve_keys()

    def _serve_keys(self) -> None:
        responder = self._responder
        if responder is None:
            return
        responder.handle_deadline(self._now())
        while not isinstance(event := responder.next_event(), NeedData):
            match event:
                case EphemeralKeyNeeded():
                    self._spawn(self._generate())
                case SecretNeeded():
                    self._spawn(self._calculate(event))
                case KeyEstablished(partner):
                    # The key is stored before the partner learns of it and begins to use it.
                    self._spawn(self._keep_key(partner))
                    return
                case KeyEstablishmentFailed():
                    self._key_failed(event)
                case MessageRefused(error, partner):
                    self._observe(events.Noise(link=self._name(partner), reason=str(error)))
        self._send_keys()

    def _send_keys(self) -> None:
        responder = self._responder
        assert responder is not None
        for outgoing in responder.frames_to_send(self._now()):
            assert outgoing.address is not None
            self._queue(outgoing.address, outgoing, KEY_ESTABLISHMENT)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = responder.next_deadline()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._serve_keys)

    async def _generate(self) -> None:
        responder = self._responder
        assert responder is not None
        try:
            key = await self.app.smart_energy.generate_ephemeral_key()
            responder.provide_ephemeral_key(key, self._now())
        except (*FAULTS, RadioError) as error:
            self._computation_failed(error)
        self._serve_keys()

    async def _calculate(self, event: SecretNeeded) -> None:
        responder = self._responder
        assert responder is not None
        try:
            macs = await self.app.smart_energy.calculate_macs(
                is_initiator=event.is_initiator,
                identity=event.identity,
                ephemeral_data=event.ephemeral_data,
            )
            responder.provide_macs(*macs, self._now())
        except (*FAULTS, RadioError) as error:
            self._computation_failed(error)
        self._serve_keys()

    def _computation_failed(self, error: Exception) -> None:
        assert self._responder is not None
        self._observe(events.Noise(link=self.where, reason=reason_of(error)))
        status = KeyEstablishmentStatus.No_Resources
        if isinstance(error, RadioRefused):
            status = KeyEstablishmentStatus.Invalid_Certificate
        self._responder.fail_computation(self._now(), status)

    async def _keep_key(self, partner: int) -> None:
        try:
            await self.app.smart_energy.finish_key_establishment(store=True)
        except (*FAULTS, RadioError) as error:
            self._key_faults[partner] = f"its key could not be kept: {reason_of(error)}"
        else:
            self._key_faults.pop(partner, None)
            self._observe(events.KeysEstablished(device=dashed(partner)))
            self._tell_state(partner, "keys established")
            self._established.setdefault(partner, asyncio.Event()).set()
        self._send_keys()
        self._serve_keys()

    def _key_failed(self, event: KeyEstablishmentFailed) -> None:
        who = "by the device" if event.is_by_partner else "by the hub"
        self._key_faults[event.partner] = f"key establishment failed: {event.why}, {who}"
        self._observe(
            events.KeysRefused(
                device=dashed(event.partner),
                reason=self._key_faults[event.partner],
            )
        )
        self._spawn(self._forget_exchange())

    async def _forget_exchange(self) -> None:
        with contextlib.suppress(*FAULTS, RadioError):
            await self.app.smart_energy.finish_key_establishment(store=False)

    # Sending.

    def _queue(self, eui64: int, outgoing: Outgoing, cluster: int) -> None:
        queue = self._queues.get(eui64)
        if queue is None:
            queue = self._queues[eui64] = asyncio.Queue()
            self._spawn(self._send_all(eui64, queue))
        queue.put_nowait((outgoing, cluster))

    async def _send_all(self, eui64: int, queue: asyncio.Queue[tuple[Outgoing, int]]) -> None:
        """Send a device's commands, one after the other, until cancelled."""
        while True:
            outgoing, cluster = await queue.get()
            session = self._sessions[eui64]
            try:
                is_delivered: bool | None = await self._send(eui64, session, outgoing, cluster)
            except TimeoutError:
                is_delivered = None  # It may have arrived; the tunnel's own time decides.
            except (*FAULTS, RadioError) as error:
                session.trouble = reason_of(error)
                is_delivered = False
            if is_delivered is None:
                continue
            if cluster == TUNNELING:
                session.handle_sent(outgoing, is_delivered=is_delivered)
            elif cluster == KEY_ESTABLISHMENT and not is_delivered and self._responder is not None:
                self._responder.handle_undelivered(self._now())
                self._serve_keys()

    async def _send(self, eui64: int, session: Session, outgoing: Outgoing, cluster: int) -> bool:
        await self.until_up()
        app = self.app
        node_id = await app.find_node(eui64)
        if node_id is None:
            return False
        if session.endpoint is None:
            session.endpoint = await app.find_endpoint(node_id, cluster)
        await app.smart_energy.send(
            node_id,
            session.endpoint,
            cluster,
            outgoing.encode(),
            is_encrypted=cluster != KEY_ESTABLISHMENT,
        )
        return True


async def _shut(app: SmartEnergyApplication) -> None:
    app.detach()
    with contextlib.suppress(*FAULTS):
        await app.shutdown()
