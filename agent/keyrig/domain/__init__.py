"""Types of the domain: devices, facts, key changes, tokens, SMI Status."""
