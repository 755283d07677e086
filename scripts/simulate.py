#!/usr/bin/env python3
"""Simulate a machine from seeds: `scripts/simulate.py [SCENARIO|MODULE:WORKLOAD] --seeds 20 --ops 2000`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from layers.dentist_booking.scenarios import SCENARIOS  # noqa: E402
from phasm_fdb.cli.commands.simulate import Program, main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Program(f"python {sys.argv[0]}", "mixed", SCENARIOS)))
