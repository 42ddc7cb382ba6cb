"""Telling upstream systems what is in the outbox, as CloudEvents."""
