"""FoundationDB's transaction semantics on one machine, with no server: in memory, or in an SQLite file."""

from phasm_fdb.embedded.database import Database
from phasm_fdb.embedded.future import Future
from phasm_fdb.embedded.limits import StreamingMode
from phasm_fdb.embedded.memory import open_memory
from phasm_fdb.embedded.selector import KeySelector, KeyValue
from phasm_fdb.embedded.sqlite import open_sqlite
from phasm_fdb.embedded.transaction import Transaction

__all__ = [
    "Database",
    "Future",
    "KeySelector",
    "KeyValue",
    "StreamingMode",
    "Transaction",
    "open_memory",
    "open_sqlite",
]
