"""Processes that torture tools start and kill: a nursery forks them in milliseconds and tells what becomes of them."""
