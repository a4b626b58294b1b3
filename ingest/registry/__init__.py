"""Meters and devices: import from CSV, and the way from the database to the gateways."""
