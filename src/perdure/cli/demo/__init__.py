"""`perdure demo`: twenty orders, one killed worker, and a count of what really happened.

1. A child process runs the program of the example `order_processing`, on a new database.
2. This process opens the same database as a client and shows what happens (`observation`, `live_view`).
3. In the middle, with customers charged and calls under way, the child is killed with SIGKILL (`demonstration`).
4. The same program is started again with the same arguments. It finishes the orders that were begun, and the others.
5. What the outside services have seen is counted in their own file (`services_census`) and held against what the runs
   say (`verdict`). A check that fails makes the command fail.
"""
