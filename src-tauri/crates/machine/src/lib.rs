//! Machines in QEMU: probe, start, watch, talk to, stop, and find again.
