"""Ways by which a simulated meter's report reaches the platform: one a door."""
