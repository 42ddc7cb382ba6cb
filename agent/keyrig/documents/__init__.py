"""The documents that leave keyrig, one model each."""
