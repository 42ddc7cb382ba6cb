"""Documents of the DCC User Interface Specification (DUIS), without input or output."""
