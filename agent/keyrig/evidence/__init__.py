"""Evidence of a run: written, read, and checked by anybody."""
