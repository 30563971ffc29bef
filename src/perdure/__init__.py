"""Durable asynchronous workflows: a run survives crashes, and every step's effect is recorded once."""
