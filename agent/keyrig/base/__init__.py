"""What every other room stands on: errors, events, clock, locks and files."""
