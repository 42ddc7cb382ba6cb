"""An emulated ZigBee radio and its air: an EZSP network co-processor, and the nodes it meets."""
