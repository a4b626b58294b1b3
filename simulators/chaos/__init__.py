"""Faults at random instants under load, and the proof by sets that nothing was lost (docs/chaos.md)."""
