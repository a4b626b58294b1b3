"""Terminates device protocols and takes each raw report into the stream before it answers."""
