"""The tables and the statements of the SQL stores: numbered migrations, named statements, the search for runs."""
