"""Certificate authorities that certify devices' new keys, and the requests that wait for them."""
