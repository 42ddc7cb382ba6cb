"""Transports to devices: serial lines, ZigBee radios, and the DCC."""
