"""The vocabulary every program shares: words, units, envelope, stream contract, settings, errors.

Imports nothing of ours.
"""
