"""The ledger: what was asked of devices, what came of it, and what is still to be told."""
