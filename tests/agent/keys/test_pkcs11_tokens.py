"""Keys in PKCS#11 tokens: used there, never out of them, and told truly when they cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authorities import DURING, SUPPLIER, Authorities, new_key
from gbcs.entity_identifier import EntityIdentifier
from gbcs.roles import CellUsage, KeyUsage
from keyrig.base.errors import KeyMissing, KeyStoreError, TokenLost, TokenUnusable
from keyrig.config.rig_file import PKISettings, TokenSettings
from keyrig.config.secret_references import SecretPlace
from keyrig.keys.folder_store import FolderKeyStore, write_certificate, write_private_key
from keyrig.keys.key_store import Authority
from keyrig.keys.store_copying import import_store
from keyrig.keys.store_opening import open_rig_keystore
from keyrig.keys.store_validation import check
from patience import HANG_S
from softhsm import PIN, SoftTokens, soft_tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gbcs.certificate_profiles import GBCSCertificate
    from keyrig.keys.key_store import KeyStore

SIGNS = KeyUsage.DIGITAL_SIGNATURE
AGREES = KeyUsage.KEY_AGREEMENT
OTHER = EntityIdentifier.parse("90b3d51f30020000")


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftTokens:
    return soft_tokens(tmp_path, monkeypatch)


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """A token is known to the process by its label, so each test has one of its own."""
    return f"t{abs(hash(request.node.nodeid)) % 10**12}"


class Home:
    """A home folder with a key store in files, and the token that a rig names beside it."""

    def __init__(self, path: Path, library: str, label: str) -> None:
        self.path = path
        self.library = library
        self.label = label
        self.pki = path / "pki"
        self.pki.mkdir()
        self.pin = path / "pin"
        self.pin.write_text(PIN + "\n", encoding="utf-8")
        self.pin.chmod(0o600)

    def keep(
        self, stem: str, certificate: GBCSCertificate, key: ec.EllipticCurvePrivateKey | None = None
    ) -> None:
        write_certificate(self.pki, stem, certificate)
        if key is not None:
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private_key(self.pki, stem, pem)

    def open(self, **token: Any) -> KeyStore:
        values: dict[str, Any] = {
            "library": self.library,
            "token": self.label,
            "pin": SecretPlace(file="pin"),
        }
        settings = TokenSettings(**values | token)
        return open_rig_keystore(self.path, PKISettings(token=(settings,)))


@pytest.fixture
def home(tmp_path: Path, tokens: SoftTokens, label: str) -> Home:
    return Home(tmp_path, tokens.library, label)


def verifies(public_key: ec.EllipticCurvePublicKey, signature: bytes, octets: bytes) -> None:
    assert len(signature) == 64
    encoded = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    public_key.verify(encoded, octets, ec.ECDSA(hashes.SHA256()))


def signing(home: Home, tokens: SoftTokens, authorities: Authorities) -> KeyStore:
    """Put the supplier's signing key on a token, its certificate in the folder, and open both."""
    key = new_key()
    tokens.make(home.label)
    tokens.put(home.label, key=key)
    home.keep(f"{SUPPLIER.stem}-ds", authorities.organisation(public_key=key.public_key()))
    return home.open()


def test_keys_in_the_token_sign_and_agree_for_certificates_in_the_folder(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    tokens.make(home.label)
    keys = {usage: new_key() for usage in (SIGNS, AGREES)}
    for stem, usage in (("ds", SIGNS), ("ka", AGREES)):
        tokens.put(home.label, key=keys[usage])
        certificate = authorities.organisation(public_key=keys[usage].public_key(), key_usage=usage)
        home.keep(f"{SUPPLIER.stem}-{stem}", certificate)
    store = home.open()
    assert [each.has_private_key for each in store.stored()] == [True, True]
    signer = store.signer(SUPPLIER)
    verifies(keys[SIGNS].public_key(), signer.sign(b"message"), b"message")
    assert signer.public_key == keys[SIGNS].public_key()
    peer = new_key()
    agreer = store.agreer(SUPPLIER)
    assert agreer is store.agreer(SUPPLIER)
    assert agreer.agree(peer.public_key()) == peer.exchange(ec.ECDH(), keys[AGREES].public_key())
    assert check(store, None).keys == 2
    assert not [f for f in check(store, DURING).findings if f.rule in {"key", "file"}]


def test_the_token_keeps_its_keys_and_no_secret_that_was_agreed(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    import pkcs11  # noqa: PLC0415 - the fixtures skip where it is not installed

    tokens.make(home.label)
    key = new_key()
    tokens.put(home.label, key=key)
    certificate = authorities.organisation(public_key=key.public_key(), key_usage=AGREES)
    home.keep(f"{SUPPLIER.stem}-ka", certificate)
    agreer = home.open().agreer(SUPPLIER)
    agreer.agree(new_key().public_key())
    (private,) = tokens.objects(home.label, "PRIVATE_KEY")
    assert private[pkcs11.Attribute.SENSITIVE]
    assert not private[pkcs11.Attribute.EXTRACTABLE]
    with pytest.raises(pkcs11.AttributeSensitive):
        private[pkcs11.Attribute.VALUE]
    assert tokens.objects(home.label, "SECRET_KEY") == []
    shown = repr(agreer) + repr(home.open()) + repr(home.open().stored()[0].key)
    assert PIN not in shown


def test_a_key_in_the_folder_serves_where_the_token_has_none(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    in_both, in_folder = new_key(), new_key()
    tokens.make(home.label)
    tokens.put(home.label, key=in_both)
    both = authorities.organisation(public_key=in_both.public_key())
    folder = authorities.organisation(public_key=in_folder.public_key(), entity_id=OTHER)
    home.keep(f"{SUPPLIER.stem}-ds", both, in_both)
    home.keep(f"{OTHER.stem}-ds", folder, in_folder)
    store = home.open()
    assert repr(store.signer(SUPPLIER)) == f"TokenSigner(token {home.label})"
    verifies(in_folder.public_key(), store.signer(OTHER).sign(b"m"), b"m")
    with pytest.raises(KeyMissing, match=f"token {home.label}: no private key of"):
        store.agreer(OTHER)
    assert store.directory == home.pki
    assert store.location == str(home.pki)


def test_certificates_on_the_token_are_read_and_files_are_believed_before_labels(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    tokens.make(home.label)
    key = new_key()

    def agreement() -> GBCSCertificate:
        return authorities.organisation(public_key=new_key().public_key(), key_usage=AGREES)

    on_token = authorities.organisation(public_key=key.public_key())
    management, top_up, in_file = agreement(), agreement(), agreement()
    tokens.put(home.label, key=key, certificate=on_token, name="supplier-ds")
    tokens.put(home.label, certificate=management, name="supplier-ka")
    tokens.put(home.label, certificate=top_up, name="supplier pp ka")
    tokens.put(home.label, certificate=in_file, name="supplier-ka, newest")
    tokens.put(home.label, certificate=authorities.issuing.certificate, name="issuing")
    home.keep(f"{SUPPLIER.stem}-pp-ka", in_file)
    store = home.open()
    found = {each.certificate: each for each in store.stored()}
    assert found[on_token].has_private_key
    assert found[on_token].source == f"token {home.label}, certificate supplier-ds"
    assert found[management].cell_usage is CellUsage.MANAGEMENT
    assert found[top_up].cell_usage is CellUsage.PREPAYMENT_TOP_UP
    assert found[in_file].cell_usage is CellUsage.PREPAYMENT_TOP_UP
    assert len(found) == len(store.stored())
    assert store.authority_certificate(Authority.ISSUING) == authorities.issuing.certificate
    assert store.issuer_certificate(on_token) == authorities.issuing.certificate


def test_an_object_that_is_no_certificate_is_named_and_stops_no_other(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    import pkcs11  # noqa: PLC0415 - as above

    store = signing(home, tokens, authorities)
    module = pkcs11.lib(tokens.library)
    module.reinitialize()
    with module.get_token(token_label=home.label).open(rw=True, user_pin=PIN) as session:
        session.create_object(
            {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE,
                pkcs11.Attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.SUBJECT: b"",
                pkcs11.Attribute.VALUE: b"no DER",
                pkcs11.Attribute.LABEL: "br\x1boken",
            }
        )
    store = home.open()
    (problem,) = store.problems
    assert problem.source.startswith(f"token {home.label}, certificate br")
    assert "\x1b" not in str(problem)
    assert store.signer(SUPPLIER).sign(b"m")


def test_a_key_without_a_public_half_is_found_by_its_key_identifier(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    key = new_key()
    certificate = authorities.organisation(public_key=key.public_key())
    tokens.make(home.label)
    identifier = certificate.subject_key_identifier
    tokens.put(home.label, key=key, identifier=identifier, has_public_half=False)
    home.keep(f"{SUPPLIER.stem}-ds", certificate)
    verifies(key.public_key(), home.open().signer(SUPPLIER).sign(b"m"), b"m")


@pytest.mark.parametrize("usage", [SIGNS, AGREES])
def test_a_key_that_only_claims_to_be_the_certificate_s_gives_nothing_out(
    home: Home, tokens: SoftTokens, authorities: Authorities, usage: KeyUsage
) -> None:
    claimed = new_key().public_key()
    certificate = authorities.organisation(public_key=claimed, key_usage=usage)
    tokens.make(home.label)
    tokens.put(home.label, key=new_key(), claims=claimed)
    home.keep(f"{SUPPLIER.stem}-{'ds' if usage is SIGNS else 'ka'}", certificate)
    store = home.open()
    uses: dict[KeyUsage, Callable[[], object]] = {
        SIGNS: lambda: store.signer(SUPPLIER).sign(b"m"),
        AGREES: lambda: store.agreer(SUPPLIER),
    }
    with pytest.raises(TokenUnusable, match="its key is not that of the certificate of 90-B3"):
        uses[usage]()
    assert "key" in {finding.rule for finding in check(store, None).findings}


def test_a_pin_that_was_refused_is_not_tried_again_and_another_is(
    home: Home, tokens: SoftTokens
) -> None:
    tokens.make(home.label)
    home.pin.write_text("wrong one", encoding="utf-8")
    with pytest.raises(
        TokenUnusable, match=r"refuses the PIN.*put the right PIN in file pin"
    ) as told:
        home.open()
    assert "wrong one" not in str(told.value)
    # Were it tried again, it would be let in now.
    tokens.set_pin(home.label, "wrong one")
    with pytest.raises(TokenUnusable, match="refuses the PIN"):
        home.open()
    tokens.set_pin(home.label, "a third")
    home.pin.write_text("a third", encoding="utf-8")
    assert home.open().stored() == ()


def test_a_pin_that_cannot_be_read_is_named_by_its_place(home: Home, tokens: SoftTokens) -> None:
    tokens.make(home.label)
    home.pin.chmod(0o604)
    with pytest.raises(TokenUnusable, match=r"PIN cannot be read .*everyone may read"):
        home.open()
    home.pin.unlink()
    with pytest.raises(TokenUnusable, match=r"PIN cannot be read .*No such file"):
        home.open()


def test_a_token_that_is_not_there_is_named_with_those_that_are(
    home: Home, tokens: SoftTokens
) -> None:
    tokens.make("another-one")
    with pytest.raises(TokenLost, match=f"token {home.label}: .*another-one"):
        home.open()


def test_tokens_of_one_label_are_told_apart_by_serial(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    tokens.make(home.label)
    key = new_key()
    tokens.put(home.label, key=key)
    home.keep(f"{SUPPLIER.stem}-ds", authorities.organisation(public_key=key.public_key()))
    (first,) = (t.serial.decode() for t in tokens._tokens() if t.label == home.label)
    second = tokens.make(home.label)
    with pytest.raises(TokenUnusable, match=r"2 tokens have this label.*`serial`"):
        home.open()
    assert home.open(serial=first).stored()[0].has_private_key
    assert not home.open(serial=second).stored()[0].has_private_key


@pytest.mark.parametrize(
    ("library", "reason"),
    [("/nowhere/lib.so", "cannot open shared object"), ("libm.so.6", "undefined symbol")],
)
def test_a_library_that_cannot_be_loaded_is_named(home: Home, library: str, reason: str) -> None:
    with pytest.raises(TokenUnusable, match=f"its library {library} cannot be used.*{reason}"):
        home.open(library=library)


@pytest.mark.parametrize(("usage", "permission"), [(SIGNS, "sign"), (AGREES, "derive")])
def test_a_key_that_may_not_be_used_so_is_named_with_the_attribute(
    home: Home, tokens: SoftTokens, authorities: Authorities, usage: KeyUsage, permission: str
) -> None:
    key = new_key()
    tokens.make(home.label)
    tokens.put(home.label, key=key, may={permission: False})
    certificate = authorities.organisation(public_key=key.public_key(), key_usage=usage)
    home.keep(f"{SUPPLIER.stem}-{'ds' if usage is SIGNS else 'ka'}", certificate)
    store = home.open()
    with pytest.raises(TokenUnusable, match=f"CKA_{permission.upper()} true"):
        _ = store.signer(SUPPLIER) if usage is SIGNS else store.agreer(SUPPLIER)


def test_a_mechanism_that_the_token_lacks_is_named(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    store = signing(home, tokens, authorities)
    tokens.configure("slots.mechanisms = CKM_ECDH1_DERIVE")
    # The library reads its settings when it is initialised.
    tokens._tokens()
    with pytest.raises(TokenUnusable, match="has no CKM_ECDSA"):
        store.signer(SUPPLIER)


def test_a_key_is_used_for_what_its_certificate_is_for_alone(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    key = signing(home, tokens, authorities).stored()[0].key
    assert key is not None
    with pytest.raises(KeyStoreError, match="not for keyAgreement"):
        key.agreer()
    with pytest.raises(KeyStoreError, match="issues no certificates"):
        key.certificate_signer()


def test_a_secret_that_the_token_does_not_let_out_is_the_token_s_fault(
    home: Home, tokens: SoftTokens, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pkcs11  # noqa: PLC0415 - as above

    from keyrig.keys.pkcs11_tokens import Token  # noqa: PLC0415 - as above

    key = new_key()
    tokens.make(home.label)
    tokens.put(home.label, key=key)
    certificate = authorities.organisation(public_key=key.public_key(), key_usage=AGREES)
    home.keep(f"{SUPPLIER.stem}-ka", certificate)
    store = home.open()

    class Forbidding:
        def derive_key(self, *_: Any, **__: Any) -> Any:
            raise pkcs11.TemplateInconsistent

    monkeypatch.setattr(Token, "_permitted", lambda *_: Forbidding())
    with pytest.raises(TokenUnusable, match="does not let an agreed secret leave it"):
        store.agreer(SUPPLIER)


@pytest.mark.parametrize("with_folder", [False, True])
def test_a_token_that_goes_away_in_the_midst_is_named_and_used_again_when_it_is_back(
    home: Home, tokens: SoftTokens, authorities: Authorities, *, with_folder: bool
) -> None:
    store = signing(home, tokens, authorities)
    signer = store.signer(SUPPLIER)
    signer.sign(b"first")
    tokens.take_away(with_folder=with_folder)
    for _ in range(2):
        with pytest.raises(TokenLost, match=f"token {home.label}: the token is not there"):
            signer.sign(b"second")
    with pytest.raises(TokenLost):
        home.open()
    tokens.bring_back()
    verifies(signer.public_key, signer.sign(b"third"), b"third")


def test_a_lost_session_is_opened_anew_by_the_next_use(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    import pkcs11  # noqa: PLC0415 - as above

    signer = signing(home, tokens, authorities).signer(SUPPLIER)
    module = pkcs11.lib(tokens.library)
    module.reinitialize()
    verifies(signer.public_key, signer.sign(b"m"), b"m")
    # Another part of the process logs out, which logs every session out.
    module.get_token(token_label=home.label).open(so_pin=None)
    module.finalize()
    verifies(signer.public_key, signer.sign(b"n"), b"n")


def test_a_key_that_was_taken_off_the_token_is_named(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    import pkcs11  # noqa: PLC0415 - as above

    signer = signing(home, tokens, authorities).signer(SUPPLIER)
    module = pkcs11.lib(tokens.library)
    module.reinitialize()
    with module.get_token(token_label=home.label).open(rw=True, user_pin=PIN) as session:
        for each in list(session.get_objects()):
            each.destroy()
    with pytest.raises(TokenUnusable, match=r"has the key of 90-B3.* no longer"):
        signer.sign(b"m")


def test_many_threads_sign_at_once(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    store = signing(home, tokens, authorities)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        signer = store.signer(SUPPLIER)
        start.wait(timeout=HANG_S)
        for each in range(20):
            octets = bytes((number, each))
            verifies(signer.public_key, signer.sign(octets), octets)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, number) for number in range(8)]:
            done.result()


def test_a_copy_has_the_certificate_and_says_that_the_key_stays(
    home: Home, tokens: SoftTokens, authorities: Authorities, tmp_path: Path
) -> None:
    store = signing(home, tokens, authorities)
    report = import_store(store, tmp_path / "copy")
    assert report.copied == (f"{SUPPLIER.stem}-ds",)
    (told,) = report.refused
    assert f"token {home.label}" in told
    assert "the private key stays in its token" in told
    copied = FolderKeyStore(tmp_path / "copy")
    assert copied.certificates() == store.certificates()
    assert not copied.stored()[0].has_private_key


def test_without_the_binding_a_rig_with_a_token_is_told_what_to_install(tmp_path: Path) -> None:
    program = """
import sys
from importlib import metadata
sys.modules["pkcs11"] = None
found = metadata.distribution
def without_the_binding(name):
    if name == "python-pkcs11":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.distribution = without_the_binding
from pathlib import Path
from keyrig.base.errors import SettingsError
from keyrig.keys.store_opening import open_rig_keystore
from keyrig.config.rig_file import PKISettings
settings = {"token": [{"library": "x", "token": "t", "pin": {"environment": "PIN"}}]}
try:
    open_rig_keystore(Path(sys.argv[1]), PKISettings.model_validate({"keystore": "."} | settings))
except SettingsError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "pip install 'keyrig[pkcs11]'" in done.stdout


@pytest.mark.parametrize(
    ("flag", "reason"),
    [("USER_PIN_LOCKED", "its PIN is locked"), ("USER_PIN_FINAL_TRY", "would lock it")],
)
def test_no_pin_is_tried_on_a_token_that_is_locked_or_about_to_be(
    home: Home, tokens: SoftTokens, flag: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pkcs11  # noqa: PLC0415 - as above

    from keyrig.keys.pkcs11_tokens import Token  # noqa: PLC0415 - as above

    class Guarded:
        flags = pkcs11.TokenFlag[flag] | pkcs11.TokenFlag.TOKEN_INITIALIZED

        def open(self, **_: Any) -> Any:
            pytest.fail("a PIN was tried")

    tokens.make(home.label)
    monkeypatch.setattr(Token, "_find", lambda *_: Guarded())
    with pytest.raises(TokenUnusable, match=reason):
        home.open()


def test_a_forked_process_signs_with_a_session_of_its_own(
    home: Home, tokens: SoftTokens, authorities: Authorities
) -> None:
    signer = signing(home, tokens, authorities).signer(SUPPLIER)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if len(signer.sign(b"child")) == 64 else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    verifies(signer.public_key, signer.sign(b"parent"), b"parent")
