"""The rig file, the settings, secrets by reference, and the places of the agent's files."""
