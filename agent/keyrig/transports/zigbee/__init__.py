"""The ZigBee side of a rig: its radio, the network it keeps or joins, and the devices there."""
