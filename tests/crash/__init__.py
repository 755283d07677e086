"""Processes of the machine of everything that are killed, frozen and lied to about the time, and the audit at the end.

python -m tests.crash.run --kills 500 --freezes 100                                on a SQLite file of its own
python -m tests.crash.run --database fdb:FILE --server-kills 50 ...                on a cluster of its own
"""
