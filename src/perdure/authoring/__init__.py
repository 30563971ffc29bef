"""Authoring: what users write workflows and activities with."""
