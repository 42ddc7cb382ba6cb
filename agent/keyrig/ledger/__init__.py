"""The ledger: commands to devices, their outcomes, and the events still to be published."""
