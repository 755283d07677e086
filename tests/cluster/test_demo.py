"""The demo on a cluster, whose server is killed and restarted while the demo kills the practice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local_cluster import LocalCluster

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ("every request answered once", "every payment resolved once", "nothing pending", "all invariants hold")


def test_a_server_that_dies_in_the_middle_of_the_demo_loses_nothing(cluster: LocalCluster) -> None:
    command = [sys.executable, "scripts/demo.py", "--database", f"fdb:{cluster.cluster_file}", "--kills", "4"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        told = []
        for line in demo.stdout:
            told.append(line.rstrip("\n"))
            if line.lstrip().startswith("restore:"):  # the next life of the practice is beginning
                cluster.kill()
                cluster.start()
    assert demo.returncode == 0, told
    assert [line.split("ok")[1].strip() for line in told if line.strip().startswith("ok")] == list(CHECKS)
    assert sum("SIGKILL" in line for line in told) >= 3
