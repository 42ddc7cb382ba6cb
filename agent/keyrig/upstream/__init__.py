"""Publishing the outbox to upstream systems, as CloudEvents."""
