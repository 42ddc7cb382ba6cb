from gbcs.key_holders import SharedSecrets, public_octets
from vectors.keys import HeldKey


def test_public_octets_are_the_uncompressed_point() -> None:
    key = HeldKey().public_key
    numbers = key.public_numbers()
    assert public_octets(key) == b"\x04" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32)


def test_both_sides_get_the_same_secret() -> None:
    broker, device = HeldKey(), HeldKey()
    secret = SharedSecrets().secret(broker, device.public_key)
    assert secret == SharedSecrets().secret(device, broker.public_key)
    assert len(secret) == 32


def test_each_pair_agrees_once() -> None:
    secrets, broker, device, other = SharedSecrets(), HeldKey(), HeldKey(), HeldKey()
    first = secrets.secret(broker, device.public_key)
    assert secrets.secret(broker, device.public_key) == first
    assert broker.agreements == 1
    assert secrets.secret(broker, other.public_key) != first
    assert broker.agreements == 2


def test_secrets_are_not_in_the_repr() -> None:
    secrets, broker, device = SharedSecrets(), HeldKey(), HeldKey()
    secret = secrets.secret(broker, device.public_key)
    assert repr(secrets) == "SharedSecrets(1 pairs)"
    assert secret.hex() not in repr(vars(secrets).keys())
