"""FoundationDB's transaction semantics on one machine, with no server: in memory, or in an SQLite file."""
