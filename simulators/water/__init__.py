"""Who uses water, when and how much, and what goes wrong: pure, seeded, vectorised."""
