"""GBCS messages, payloads, protection and certificates, without input or output."""
