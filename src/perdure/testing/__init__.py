"""Testing: what Perdure ships for testing itself and what users build around it."""
