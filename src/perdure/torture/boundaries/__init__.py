"""The boundaries of commits: a journey through the engine that meets each, and what must be true of it then."""
