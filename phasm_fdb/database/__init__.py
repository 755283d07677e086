"""The database port: FoundationDB's API as Protocols, the retry loop, and waiting from threads and asyncio."""
