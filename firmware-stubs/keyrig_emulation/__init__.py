"""The bridge by which keyrig, which finds it by entry point, hosts a rig's emulated devices."""
