"""`python -m phasm_fdb.cli` is `phasm`."""

from phasm_fdb.cli import main

main()
