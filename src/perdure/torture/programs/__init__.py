"""Random programs for stores: the same program must mean the same on each of them.

A program is a list of steps (`steps`), each a verb and the numbers that decide everything about it. Runs and sessions
are named by numbers; a store's own keys and positions never occur. A `world.World` carries a program out on one store
and answers each step with an observation. The `stateful` tool compares the observations of two stores; the tools of
`perdure.torture.disks` let the disk fail beneath one.
"""
