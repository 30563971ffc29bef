"""The settings of the SQLite store."""

import msgspec

__all__ = ["SqliteSettings"]


class SqliteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a SQLite store behaves. The defaults suit a local disk.

    `lock_patience_seconds`: how long a transaction waits for another process's (or program's) write lock before it is
    given up with StoreLockedError. `checkpoint_pages`: how many pages the log grows to before it is copied into the
    database. `safety_check_seconds`: how often, while other processes share the file, missed notices are looked for.
    `writes_per_transaction`: the limit of a group commit. `settling_pause_seconds`: the longest pause between attempts
    to find out what became of a commit that raised.
    `page_cache_kibibytes`: memory for pages, per connection. `searched_rows`: about so many rows are looked at for one
    page of a search.
    `known_runs`: of so many runs the writer remembers status and priority, so as to spare indexes.
    `long_log_bytes`: a log that somebody keeps from beginning anew is told of in the program's log when it is so long,
    and cut off to that length when it has begun anew.
    """

    lock_patience_seconds: float = 10.0
    checkpoint_pages: int = 4_000
    safety_check_seconds: float = 1.0
    writes_per_transaction: int = 2_000
    settling_pause_seconds: float = 2.0
    page_cache_kibibytes: int = 16_384
    searched_rows: int = 10_000
    known_runs: int = 100_000
    long_log_bytes: int = 64_000_000
