"""Resilience: what is decided about things that fail. Pure: time is an argument, nothing is read or written.

`breaker` decides when an activity is not tried any more because what it calls is broken.
"""
