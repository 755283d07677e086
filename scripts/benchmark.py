#!/usr/bin/env python3
"""Measure, side by side in one run: `scripts/benchmark.py NAME [options]`; NAME --help lists a benchmark's options."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    names = sorted(path.stem for path in (HERE / "benchmarks").glob("[a-z]*.py") if path.stem != "measure")
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        print(f"usage: scripts/benchmark.py {{{','.join(names)}}} [options]", file=sys.stderr)
        return 2
    sys.path.insert(0, str(HERE.parent))
    importlib.import_module(f"scripts.benchmarks.{sys.argv[1]}").run(sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
