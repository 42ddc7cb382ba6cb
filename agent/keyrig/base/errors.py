"""The agent's own errors, beside those of the protocols: links, ledger, rigs, keys and settings.

A class says what has happened, the code by which programs know it, and what usually mends it;
what follows of it (exit code, problem document, whose fault it is) stands in
`keyrig.base.error_kinds`, by its code.
"""

from __future__ import annotations

from typing import ClassVar

from gbcs.protocol_errors import KeyrigError


class AgentError(KeyrigError):
    """An error of the agent, raised only as one of its subclasses.

    Args:
        where: The file, port, device, rig or record in which something is wrong.
        reason: What is wrong; the class's `form` says it round this.
        mend: What a person can do; None for what the class says.
    """

    form: ClassVar[str] = "{}"

    def __init__(self, where: str, reason: str, mend: str | None = None) -> None:
        super().__init__(self.form.format(reason), where=where, mend=mend)


class LinkError(AgentError):
    """A link to a device does not carry messages."""

    code = "link-lost"
    mend = "check the line and the device, and run again"


class LinkClosed(LinkError):
    """The link is not open any more: closed here, refused by the device, or its port went away."""

    mend = "open the link again to go on"

    def __init__(self, where: str, reason: str = "closed") -> None:
        super().__init__(where, reason)


class LinkTimeout(LinkError):
    """Nothing came in time.

    Args:
        waited_s: How long was waited, in seconds.
        where: The link's name.
        what: What was awaited.
    """

    mend = "check power, cabling and framing"

    def __init__(self, waited_s: float, *, where: str, what: str = "a message") -> None:
        super().__init__(where, f"waited {waited_s:.1f} s for {what}")
        self.waited_s = waited_s


class RadioError(LinkError):
    """A ZigBee radio, or the network that it keeps, does not do what is needed."""

    code = "radio-unusable"
    mend = "see `keyrig radio list`, and run again"


class RadioLost(RadioError):
    """The radio went away or started anew by itself."""

    form = "the radio is lost ({})"
    mend = "plug it in again, and run again where it does not come back by itself"


class RadioUnusable(RadioError):
    """The radio cannot be started."""

    form = "the radio does not start ({})"
    mend = "see that it is an EZSP radio that no other program uses, and `keyrig radio list`"


class RadioRefused(RadioError):
    """The radio refused a command; the reason is which, and with what status."""

    form = "the radio refuses {}"
    mend = "restart it and try again"


class RadioLacksSmartEnergy(RadioError):
    """The radio has no Smart Energy security; `status` is what it answered."""

    form = "the radio has no Smart Energy key establishment or no certificate ({})"
    mend = "use one with Smart Energy firmware and a certificate"

    def __init__(self, where: str, status: str) -> None:
        super().__init__(where, status)
        self.status = status


class NodeUnreachable(RadioError):
    """A device is not in the radio's network, or does not answer there."""

    mend = "check its power, its range and its install code"


class HTTPUnanswered(LinkError):
    """A request over HTTP has no answer.

    Args:
        where: The address, without secrets.
        reason: What was seen.
        may_have_arrived: Whether the request may have arrived all the same.
    """

    mend = "check the address in the settings, and the server"

    def __init__(self, where: str, reason: str, *, may_have_arrived: bool) -> None:
        super().__init__(where, reason)
        self.may_have_arrived = may_have_arrived


class DCCUnreachable(HTTPUnanswered):
    """The DCC's interface does not answer."""

    code = "dcc-unreachable"
    mend = "check [dcc_boxed] in the settings, and the box"


class LedgerError(AgentError):
    """The ledger cannot be used."""

    code = "ledger-unusable"
    mend = "see `keyrig doctor`, and restore it from a copy where it is damaged"


class LedgerLocked(LedgerError):
    """Another agent holds the ledger.

    Args:
        where: The ledger's file or URL, without a password.
        holder: Who holds it, as far as is known, or "".
    """

    code = "ledger-locked"
    mend = "stop the other agent or wait until it ends"

    def __init__(self, where: str, holder: str = "") -> None:
        super().__init__(where, f"locked by {holder}" if holder else "locked")


class LedgerCorrupt(LedgerError):
    """The ledger's content contradicts itself."""

    mend = "restore it from a copy before any duty is carried out"


class LedgerForeign(LedgerError):
    """The file or database is no ledger of this program."""

    form = "not this version's ledger: {}"
    mend = "name another file"


class LedgerTooNew(LedgerError):
    """A newer version of this program wrote the ledger.

    Args:
        where: The ledger's file or URL, without a password.
        found: The version of its tables.
        known: The newest version that this program knows.
    """

    mend = "use the keyrig that wrote it, or a newer one"

    def __init__(self, where: str, *, found: int, known: int) -> None:
        super().__init__(where, f"tables of version {found}, known up to {known}")


class LedgerRefused(LedgerError):
    """What was asked does not fit what the ledger holds; nothing was changed."""

    code = "refused"
    mend = "nothing was changed; see `keyrig status` for what is recorded"


class RigError(AgentError):
    """Something about a rig: its file, its ports or its devices."""

    code = "rig-unusable"
    mend = "correct the rig file, or what it names"


class RigFileInvalid(RigError):
    """A rig file cannot be used."""

    code = "rig-file-invalid"


class EmulationMissing(RigFileInvalid):
    """A rig has emulated devices, and what emulates them is not installed.

    Args:
        where: The rig, or what else needs it.
        reason: What is wrong with it; "is not installed" where nothing else is.
    """

    def __init__(self, where: str, reason: str = "is not installed") -> None:
        super().__init__(
            where,
            f"its devices are emulated, and what emulates them {reason}",
            "run `pip install keyrig-firmware-stubs`, or name a rig file of real devices",
        )


class DeviceUnavailable(RigError):
    """A device does not answer, or its port cannot be used."""

    code = "device-unavailable"
    mend = "check that it is powered and connected"


class WrongDevice(RigError):
    """Another device answers than the rig file names.

    Args:
        where: The link's name.
        expected: The Entity Identifier that the rig file gives.
        found: The Entity Identifier that answered.
    """

    code = "wrong-device"
    mend = "correct the cabling or the rig file"

    def __init__(self, where: str, *, expected: str, found: str) -> None:
        super().__init__(where, f"device {found} answers where {expected} is expected")


class PortBusy(RigError):
    """Another program has the port open."""

    code = "port-busy"
    mend = "close that program first"

    def __init__(self, where: str) -> None:
        super().__init__(where, "in use by another program")


class RigBusy(RigError):
    """Another agent drives the rig.

    Args:
        rig: The rig's name.
        holder: The operation that drives it, or "" where that is not known.
    """

    code = "rig-busy"
    mend = "wait for it or stop it"

    def __init__(self, rig: str, holder: str = "") -> None:
        by = f"operation {holder}" if holder else "another agent"
        super().__init__(f"rig {rig}", f"{by} drives it")
        self.holder = holder


class DeviceBusy(RigError):
    """Another run holds the device.

    Args:
        device: Its Entity Identifier.
        holder: The operation that holds it, or "" where that is not known.
    """

    code = "device-busy"
    mend = "wait for it or stop it"

    def __init__(self, device: str, holder: str = "") -> None:
        by = f"operation {holder}" if holder else "another run"
        super().__init__(f"device {device}", f"{by} holds it")
        self.device = device
        self.holder = holder


class RunStopped(AgentError):
    """Somebody asked the run to stop, and it stood between two commands."""

    code = "stopped"
    mend = "the next run goes on with what is not done"

    def __init__(self, who: str) -> None:
        super().__init__("the run", f"stopped by {who}")


class ServiceRefused(RigError):
    """The DCC refuses a service request, which is no failure of the device.

    Args:
        what: The request.
        response_code: The response code.
        reason: What it means.
        mend: What a person can do.
    """

    code = "service-refused"

    def __init__(self, what: str, *, response_code: str, reason: str, mend: str) -> None:
        super().__init__(what, f"the DCC answers {response_code}, {reason}", mend)
        self.response_code = response_code


class DCCNotBelieved(RigError):
    """What the DCC answers cannot be believed, which is no failure of the device."""

    code = "dcc-not-believed"


class ReceiverUnusable(RigError):
    """The DCC's answers cannot be received at the address where they are to be."""

    code = "receiver-unusable"
    form = "the DCC's answers cannot be received: {}"
    mend = "correct dcc_boxed.receive in the settings, or close the program that has the port"


class NoServiceRequest(RigError):
    """No User can ask the DCC for a command."""

    code = "no-service-request"
    mend = "reach the device by a line, or leave its duty to the DCC"


class LockUnusable(RigError):
    """The file by whose lock a process has something for itself cannot be used."""

    form = "the lock cannot be used: {}"
    mend = "make room on the disk, and see that the folder may be written"


class ClockWrong(RigError):
    """The rig's clock cannot be believed, and what is sent by it cannot be taken back."""

    code = "clock-wrong"


class RecoveryUntrusted(RigError):
    """What stands for the Recovery Certificate is none, or leads to no root of the key store."""

    code = "recovery-untrusted"


class PortMissing(RigError):
    """There is no such port."""

    code = "port-missing"
    mend = "connect the adapter or correct the rig file's url"

    def __init__(self, where: str, reason: str = "no such port", mend: str | None = None) -> None:
        super().__init__(where, reason, mend)


class KeyStoreError(AgentError):
    """A key or certificate of an organisation cannot be used."""

    code = "key-store-unusable"
    mend = "see `keyrig pki check`"


class KeyMissing(KeyStoreError):
    """The key store has no such key or certificate: its party, Entity Identifier and use."""

    code = "key-missing"
    form = "no {}"
    mend = "add it with `keyrig pki`"


class CertificateLookupFailed(KeyStoreError):
    """A certificate could not be looked up, or is not fit to be used."""

    mend = "import it from a file with `keyrig pki import`"


class KeyLocked(KeyStoreError):
    """A key is there and cannot be unlocked."""

    code = "key-locked"
    form = "{} is locked"
    mend = "give its passphrase or PIN"


class TokenUnusable(KeyStoreError):
    """A PKCS#11 token cannot be used, or a key in it; never the device's fault."""


class TokenLost(KeyStoreError):
    """A PKCS#11 token is not there, or went away in the midst; never the device's fault."""

    form = "the token is not there ({})"
    mend = "insert it, and run again"


class AuthorityError(AgentError):
    """The certificate authority does not do what is asked; never the device's failure."""

    code = "authority-unusable"


class AuthorityMissing(AuthorityError):
    """The rig file names no certificate authority, and a device's key is to be certified."""


class AuthorityUnavailable(AuthorityError):
    """The authority cannot be asked: its program, folder or key does not work."""


class AuthorityRefused(AuthorityError):
    """The authority says no to a request."""


class AuthorityMistaken(AuthorityError):
    """The authority gave a certificate that is not the one that was asked for."""


class SettingsError(AgentError):
    """A setting or an argument cannot be used."""

    code = "settings-invalid"


class RulesInvalid(SettingsError):
    """A rule set of duties cannot be read or breaks its own form."""

    code = "rules-invalid"


class FileInvalid(SettingsError):
    """A file that was named cannot be read, or is not one of its kind."""

    code = "document-invalid"


class EvidenceBroken(AgentError):
    """An evidence file does not hold together.

    Args:
        where: The file.
        line: The line, counted from 1.
        reason: What is wrong with it.
    """

    code = "evidence-broken"
    mend = "ask for the file anew"

    def __init__(self, where: str, line: int, reason: str) -> None:
        super().__init__(f"{where}, line {line}", reason)
        self.line = line
