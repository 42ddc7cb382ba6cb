"""The five steps that carry out every duty: scripts over one device, without input or output."""
