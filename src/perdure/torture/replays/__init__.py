"""A shop whose workflows are lived through once, and whose code is then changed under their histories."""
