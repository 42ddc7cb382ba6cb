"""The agent's own errors, beside those of the protocols: links, ledger, rigs, keys and settings.

Each is one line that names what failed, where, and what to do about it.
"""

from __future__ import annotations

from gbcs.errors import KeyrigError


class LinkError(KeyrigError):
    """A link to a device does not carry messages."""


class LinkClosed(LinkError):  # noqa: N818 - the state's word; the base says it is an error
    """The link is not open any more: closed here, refused by the device, or its port went away.

    Args:
        where: The link's or port's name.
        reason: What closed it, in one line.
    """

    def __init__(self, where: str, reason: str = "closed") -> None:
        super().__init__(f"{where}: {reason}; open the link again to go on")
        self.where = where
        self.reason = reason


class LinkTimeout(LinkError):  # noqa: N818 - as above
    """Nothing came in time.

    Args:
        waited_s: How long was waited, in seconds.
        where: The link's name.
        what: What was awaited.
    """

    def __init__(self, waited_s: float, *, where: str, what: str = "a message") -> None:
        super().__init__(
            f"{where}: waited {waited_s:.1f} s for {what}; check power, cabling and framing"
        )
        self.waited_s = waited_s
        self.where = where
        self.what = what


class RadioError(LinkError):
    """A ZigBee radio, or the network that it keeps, does not do what is needed."""


class RadioLost(RadioError):  # noqa: N818 - the state's word; the base says it is an error
    """The radio went away or started anew by itself.

    Args:
        where: The radio's name and port.
        reason: What is known of why.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where}: the radio is lost ({reason}); plug it in again, and run again where "
            "it does not come back by itself"
        )
        self.where = where


class RadioUnusable(RadioError):  # noqa: N818 - as above
    """The radio cannot be started.

    Args:
        where: The radio's name and port.
        reason: Why.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where}: the radio does not start ({reason}); see that it is an EZSP radio that no "
            "other program uses, and `keyrig radio list`"
        )
        self.where = where


class RadioRefused(RadioError):  # noqa: N818 - as above
    """The radio refused a command.

    Args:
        where: The radio's port.
        what: Which, and with what status.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: the radio refuses {what}; restart it and try again")
        self.where = where


class RadioLacksSmartEnergy(RadioError):  # noqa: N818 - as above
    """The radio has no Smart Energy security.

    Args:
        where: The radio's port.
        status: What it answered.
    """

    def __init__(self, where: str, status: str) -> None:
        super().__init__(
            f"{where}: the radio has no Smart Energy key establishment or no certificate "
            f"({status}); use one with Smart Energy firmware and a certificate"
        )
        self.where = where
        self.status = status


class NodeUnreachable(RadioError):  # noqa: N818 - as above
    """A device is not in the radio's network, or does not answer there.

    Args:
        where: The link's name.
        reason: How far it came.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}; check its power, its range and its install code")
        self.where = where


class HTTPUnanswered(LinkError):  # noqa: N818 - as above
    """A request over HTTP has no answer.

    Args:
        where: The address, without secrets.
        reason: What was seen.
        may_have_arrived: Whether the request may have arrived all the same.
    """

    mend = "check the address in the settings, and the server"

    def __init__(self, where: str, reason: str, *, may_have_arrived: bool) -> None:
        super().__init__(f"{where}: {reason}; {self.mend}")
        self.where = where
        self.reason = reason
        self.may_have_arrived = may_have_arrived


class DCCUnreachable(HTTPUnanswered):
    """The DCC's interface does not answer."""

    mend = "check [dcc_boxed] in the settings, and the box"


class LedgerError(KeyrigError):
    """The ledger cannot be used."""


class LedgerLocked(LedgerError):  # noqa: N818 - as above
    """Another agent holds the ledger.

    Args:
        where: The ledger's file or URL, without a password.
        holder: Who holds it, as far as is known, or "".
    """

    def __init__(self, where: str, holder: str = "") -> None:
        by = f" by {holder}" if holder else ""
        super().__init__(f"{where}: locked{by}; stop the other agent or wait until it ends")
        self.where = where
        self.holder = holder


class LedgerCorrupt(LedgerError):  # noqa: N818 - as above
    """The ledger's content contradicts itself.

    Args:
        where: The ledger's file or URL, without a password.
        what: What is wrong, in one line.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}; restore it from a copy before any duty is carried out")
        self.where = where
        self.what = what


class LedgerForeign(LedgerError):  # noqa: N818 - as above
    """The file or database is no ledger of this program, or one of a newer version.

    Args:
        where: The ledger's file or URL, without a password.
        what: What was found instead, in one line.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: not this version's ledger: {what}; name another file")
        self.where = where
        self.what = what


class LedgerTooNew(LedgerError):  # noqa: N818 - as above
    """A newer version of this program wrote the ledger.

    Args:
        where: The ledger's file or URL, without a password.
        found: The version of its tables.
        known: The newest version that this program knows.
    """

    def __init__(self, where: str, *, found: int, known: int) -> None:
        super().__init__(
            f"{where}: tables of version {found}, known up to {known}; "
            "use the keyrig that wrote it, or a newer one"
        )
        self.where = where
        self.found = found
        self.known = known


class LedgerRefused(LedgerError):  # noqa: N818 - as above
    """What was asked does not fit what the ledger holds; nothing was changed."""


class RigError(KeyrigError):
    """Something about a rig: its file, its ports or its devices."""


class RigFileInvalid(RigError):  # noqa: N818 - as above
    """A rig file cannot be used.

    Args:
        where: The file, and the line or key in it.
        reason: What is wrong.
        mend: What to write instead.
    """

    def __init__(self, where: str, reason: str, mend: str) -> None:
        super().__init__(f"{where}: {reason}; {mend}")
        self.where = where
        self.reason = reason
        self.mend = mend


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


class DeviceUnavailable(RigError):  # noqa: N818 - as above
    """A device does not answer, or its port cannot be used.

    Args:
        where: The device or port.
        reason: What was seen.
        mend: What a person can do.
    """

    def __init__(
        self, where: str, reason: str, mend: str = "check that it is powered and connected"
    ) -> None:
        super().__init__(f"{where}: {reason}; {mend}")
        self.where = where
        self.reason = reason
        self.mend = mend


class WrongDevice(RigError):  # noqa: N818 - as above
    """Another device answers than the rig file names.

    Args:
        where: The link's name.
        expected: The Entity Identifier that the rig file gives.
        found: The Entity Identifier that answered.
    """

    def __init__(self, where: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"{where}: device {found} answers where {expected} is expected; "
            "correct the cabling or the rig file"
        )
        self.where = where
        self.expected = expected
        self.found = found


class PortBusy(RigError):  # noqa: N818 - as above
    """Another program has the port open.

    Args:
        where: The port's URL.
    """

    def __init__(self, where: str) -> None:
        super().__init__(f"{where}: in use by another program; close that program first")
        self.where = where


class RigBusy(RigError):  # noqa: N818 - as above
    """Another agent drives the rig.

    Args:
        rig: The rig's name.
        holder: The operation that drives it, or "" where that is not known.
    """

    def __init__(self, rig: str, holder: str = "") -> None:
        by = f"operation {holder}" if holder else "another agent"
        super().__init__(f"rig {rig}: {by} drives it; wait for it or stop it")
        self.rig = rig
        self.holder = holder


class DeviceBusy(RigError):  # noqa: N818 - as above
    """Another run holds the device.

    Args:
        device: Its Entity Identifier.
        holder: The operation that holds it, or "" where that is not known.
    """

    def __init__(self, device: str, holder: str = "") -> None:
        by = f"operation {holder}" if holder else "another run"
        super().__init__(f"device {device}: {by} holds it; wait for it or stop it")
        self.device = device
        self.holder = holder


class RunStopped(KeyrigError):  # noqa: N818 - as above
    """Somebody asked the run to stop, and it stood between two commands.

    Args:
        who: Who asked.
    """

    def __init__(self, who: str) -> None:
        super().__init__(f"stopped by {who}; the next run goes on with what is not done")
        self.who = who


class ServiceRefused(RigError):  # noqa: N818 - as above
    """The DCC refuses a service request, which is no failure of the device.

    Args:
        what: The request.
        code: The response code.
        reason: What it means.
        mend: What a person can do.
    """

    def __init__(self, what: str, *, code: str, reason: str, mend: str) -> None:
        super().__init__(f"{what}: the DCC answers {code}, {reason}; {mend}")
        self.what = what
        self.code = code
        self.reason = reason
        self.mend = mend


class DCCNotBelieved(RigError):  # noqa: N818 - as above
    """What the DCC answers cannot be believed, which is no failure of the device.

    Args:
        what: The request.
        reason: Why.
        mend: What a person can do.
    """

    def __init__(self, what: str, reason: str, mend: str) -> None:
        super().__init__(f"{what}: {reason}; {mend}")
        self.what = what
        self.reason = reason
        self.mend = mend


class ReceiverUnusable(RigError):  # noqa: N818 - as above
    """The DCC's answers cannot be received.

    Args:
        where: The address on which they are to be received.
        reason: What the system says.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where}, on which the DCC's answers are received: {reason}; correct "
            "dcc_boxed.receive in the settings, or close the program that has the port"
        )
        self.where = where
        self.reason = reason


class NoServiceRequest(RigError):  # noqa: N818 - as above
    """No User can ask the DCC for a command.

    Args:
        what: The command.
        reason: Why.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"{what}: {reason}; reach the device by a line, or leave its duty to the DCC"
        )
        self.what = what
        self.reason = reason


class LockUnusable(RigError):  # noqa: N818 - as above
    """The file by whose lock a process has something for itself cannot be used.

    Args:
        where: The file.
        reason: What the system says.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"{where}: the lock cannot be used: {reason}; make room on the disk, and see that "
            "the folder may be written"
        )
        self.where = where
        self.reason = reason


class ClockWrong(RigError):  # noqa: N818 - as above
    """The rig's clock cannot be believed, and what is sent by it cannot be taken back."""


class RecoveryUntrusted(RigError):  # noqa: N818 - as above
    """What stands for the Recovery Certificate is none, or leads to no root of the key store.

    Args:
        reason: What is wrong.
        mend: What a person can do.
    """

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(f"{reason}; {mend}")
        self.reason = reason
        self.mend = mend


class PortMissing(RigError):  # noqa: N818 - as above
    """There is no such port.

    Args:
        where: The port's URL.
        reason: What the system says.
        mend: What a person can do.
    """

    def __init__(
        self,
        where: str,
        reason: str = "no such port",
        mend: str = "connect the adapter or correct the rig file's url",
    ) -> None:
        super().__init__(f"{where}: {reason}; {mend}")
        self.where = where
        self.reason = reason
        self.mend = mend


class KeyStoreError(KeyrigError):
    """A key or certificate of an organisation cannot be used."""


class KeyMissing(KeyStoreError):  # noqa: N818 - as above
    """The key store has no such key or certificate.

    Args:
        where: The key store.
        what: Which key or certificate: its party, Entity Identifier and use.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: no {what}; add it with `keyrig pki`")
        self.where = where
        self.what = what


class CertificateLookupFailed(KeyStoreError):  # noqa: N818 - as above
    """A certificate could not be looked up, or is not fit to be used.

    Args:
        what: Which.
        reason: Why.
        mend: What a person can do.
    """

    def __init__(
        self, what: str, reason: str, mend: str = "import it from a file with `keyrig pki import`"
    ) -> None:
        super().__init__(f"{what}: {reason}; {mend}")
        self.what = what
        self.reason = reason


class KeyLocked(KeyStoreError):  # noqa: N818 - as above
    """A key is there and cannot be unlocked.

    Args:
        where: The key store.
        what: Which key: its party, Entity Identifier and use.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what} is locked; give its passphrase or PIN")
        self.where = where
        self.what = what


class TokenUnusable(KeyStoreError):  # noqa: N818 - as above
    """A PKCS#11 token cannot be used, or a key in it; never the device's fault.

    Args:
        where: The token.
        reason: Why.
        mend: What a person can do.
    """

    def __init__(self, where: str, reason: str, mend: str) -> None:
        super().__init__(f"{where}: {reason}; {mend}")
        self.where = where
        self.reason = reason
        self.mend = mend


class TokenLost(KeyStoreError):  # noqa: N818 - as above
    """A PKCS#11 token is not there, or went away in the midst; never the device's fault.

    Args:
        where: The token.
        reason: What was seen.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: the token is not there ({reason}); insert it, and run again")
        self.where = where
        self.reason = reason


class AuthorityError(KeyrigError):
    """The certificate authority does not do what is asked; never the device's failure.

    Args:
        where: The authority, or where it is chosen.
        reason: What is wrong.
        mend: What a person can do.
    """

    def __init__(self, where: str, reason: str, mend: str) -> None:
        super().__init__(f"{where}: {reason}; {mend}")
        self.where = where
        self.reason = reason
        self.mend = mend


class AuthorityMissing(AuthorityError):  # noqa: N818 - as above
    """The rig file names no certificate authority, and a device's key is to be certified."""


class AuthorityUnavailable(AuthorityError):  # noqa: N818 - as above
    """The authority cannot be asked: its program, folder or key does not work."""


class AuthorityRefused(AuthorityError):  # noqa: N818 - as above
    """The authority says no to a request."""


class AuthorityMistaken(AuthorityError):  # noqa: N818 - as above
    """The authority gave a certificate that is not the one that was asked for."""


class SettingsError(KeyrigError):
    """A setting or an argument cannot be used.

    Args:
        where: The file, variable or option.
        reason: What is wrong.
        mend: What to write instead.
    """

    def __init__(self, where: str, reason: str, mend: str) -> None:
        super().__init__(f"{where}: {reason}; {mend}")
        self.where = where
        self.reason = reason
        self.mend = mend


class RulesInvalid(SettingsError):  # noqa: N818 - as above
    """A rule set of duties cannot be read or breaks its own form."""


class FileInvalid(SettingsError):  # noqa: N818 - as above
    """A file that was named cannot be read, or is not one of its kind."""


class EvidenceBroken(KeyrigError):  # noqa: N818 - as above
    """An evidence file does not hold together.

    Args:
        where: The file.
        line: The line, counted from 1.
        reason: What is wrong with it.
    """

    def __init__(self, where: str, line: int, reason: str) -> None:
        super().__init__(f"{where}, line {line}: {reason}; ask for the file anew")
        self.where = where
        self.line = line
        self.reason = reason
