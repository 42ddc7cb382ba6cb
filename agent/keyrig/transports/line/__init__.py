"""Serial lines: GFI and HDLC over any port that pyserial opens."""
