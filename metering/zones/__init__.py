"""Zones, and the bulk meters at their inlets and outlets, as files bring them into the registry."""
