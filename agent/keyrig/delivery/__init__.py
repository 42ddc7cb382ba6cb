"""Field mode: carrying commands that others signed and MACed to a device, without any key."""
