"""The rig file, the settings, secrets by reference, and where the agent keeps things."""
