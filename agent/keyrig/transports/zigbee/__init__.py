"""ZigBee: the rig's radio, the network that it forms or joins, and the devices there."""
