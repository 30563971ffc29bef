"""The stores: where runs, histories and inboxes are kept.

`perdure.stores.opening.open_store` chooses one by its URL. `sqlite` keeps everything in one database file that several
processes of one machine may share; `postgres` in a database of a server, which many machines may share; `memory` keeps
it in the process, for tests. `sql` holds what any SQL store needs: the tables as numbered migrations, and the named
statements.
"""
