"""Stored raw reports through today's decoders: what would have been stored, had they been there from the start."""
