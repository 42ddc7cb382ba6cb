"""What is sent to a device and what is believed of it: steps, exchanges and conversations."""
