"""The base of every other room: errors, events, clock, locks and files."""
