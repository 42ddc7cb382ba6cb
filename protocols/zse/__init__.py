"""GBCS messages on ZigBee Smart Energy: clusters, tunnels, block transfer and key establishment."""
