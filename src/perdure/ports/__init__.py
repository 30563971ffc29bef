"""Ports: what Perdure needs from outside, as protocols and records. Stores, clocks and listeners implement them."""
