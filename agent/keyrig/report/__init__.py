"""Reports of a run, made from the ledger: for people, for programs, and for test systems."""
