"""Plays meters, radio and a town against the platform's doors; imports nothing of gateway, ingest or api."""
