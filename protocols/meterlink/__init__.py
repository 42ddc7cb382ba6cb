"""How GBCS messages travel: HDLC frames and GFI text lines, without input or output."""
