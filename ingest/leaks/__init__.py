"""Rules that turn consumption and device state into alerts with evidence."""
