"""The production topology: its plan, the configuration of each host, and a rehearsal of it on one machine."""
