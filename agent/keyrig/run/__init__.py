"""Runs of a rig: what is due, what it needs, each device's visit, and what follows from it."""
