"""Emulated hubs and meters, their memory and their faults, and hosts that put them on a line."""
