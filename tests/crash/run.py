"""Kill, freeze and mislead processes that use everything, and audit what is left.

python -m tests.crash.run --kills 500 --freezes 100
python -m tests.crash.run --kills 500 --freezes 100 --server-kills 50 --fdbserver PATH --fdbcli PATH
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.local_cluster import LocalCluster
from tests.crash.audit import Audit
from tests.crash.scene import LEASE_SECONDS, Scene, read_logs, write_skew

ROOT = Path(__file__).resolve().parents[2]
#: Seconds by which the clock of a process is wrong, one way or the other.
SKEWS = (0.0, 0.0, 3.0, -3.0, 3600.0, -7200.0, 5 * 3600.0)
REST_SECONDS = 300.0


class Troupe:
    """The processes of a run.

    Args:
        url: of the database.
        folder: for their clocks and logs.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._started = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, kind: str) -> str:
        """Start a process of a kind, "worker" or "client"."""
        name = f"{kind}{self._started}"
        self._started += 1
        errors = (self._folder / f"{name}.err").open("wb")
        command = [sys.executable, "-m", f"tests.crash.{kind}", self._url, str(self._folder), name]
        self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stderr=errors)
        errors.close()
        return name

    def kill(self, name: str) -> None:
        """End a process as `kill -9` does."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, kind: str, seconds: float) -> None:
        """End all processes of a kind with SIGTERM."""
        names = [name for name in self.processes if name.startswith(kind)]
        for name in names:
            self.processes[name].terminate()
        for name in names:
            process = self.processes.pop(name)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise RuntimeError(f"{name} did not end within {seconds} s of SIGTERM") from None

    def fallen(self) -> list[str]:
        """What the processes said that ended by themselves."""
        gone = [name for name, process in self.processes.items() if process.poll() not in (None, 0)]
        return [f"{name} ended: {(self._folder / f'{name}.err').read_text()[-1500:]}" for name in gone]


class Run:
    """One run.

    Args:
        cluster: whose server is killed too; None for a file.
        rng: decides what happens, though not exactly when.
    """

    def __init__(self, troupe: Troupe, folder: Path, cluster: LocalCluster | None, rng: random.Random) -> None:
        self._troupe = troupe
        self._folder = folder
        self._cluster = cluster
        self._rng = rng
        self._frozen: dict[str, float] = {}

    def harass(self, arguments: argparse.Namespace) -> None:
        """Do all that is asked for, in a random order, with the clocks moving all the time."""
        for _ in range(arguments.workers):
            self._troupe.start("worker")
        for _ in range(arguments.clients):
            self._troupe.start("client")
        time.sleep(3)
        doings = ["kill"] * arguments.kills + ["freeze"] * arguments.freezes + ["server"] * arguments.server_kills
        self._rng.shuffle(doings)
        for number, doing in enumerate(doings):
            self._thaw(all_of_them=False)
            if fallen := self._troupe.fallen():
                raise RuntimeError("\n".join(fallen))
            getattr(self, f"_{doing}")()
            if self._rng.random() < 0.3:
                write_skew(self._folder, self._rng.choice(list(self._troupe.processes)), self._rng.choice(SKEWS))
            time.sleep(self._rng.uniform(0.1, 1.0))
            if number % 50 == 49:
                print(f"  {number + 1} of {len(doings)}", file=sys.stderr, flush=True)
        self._thaw(all_of_them=True)

    def _kill(self) -> None:
        name = self._rng.choice([name for name in self._troupe.processes if name not in self._frozen])
        self._troupe.kill(name)
        self._troupe.start(name.rstrip("0123456789"))

    def _freeze(self) -> None:
        name = self._rng.choice([name for name in self._troupe.processes if name not in self._frozen])
        self._troupe.processes[name].send_signal(signal.SIGSTOP)
        self._frozen[name] = time.monotonic() + LEASE_SECONDS * self._rng.uniform(1.2, 2.5)

    def _server(self) -> None:
        assert self._cluster is not None
        self._cluster.kill()
        time.sleep(self._rng.uniform(0, 1.0))
        self._cluster.start()

    def _thaw(self, all_of_them: bool) -> None:
        for name, until in list(self._frozen.items()):
            if all_of_them or time.monotonic() > until:
                del self._frozen[name]
                self._troupe.processes[name].send_signal(signal.SIGCONT)

    def rest(self, layer: Any, db: Any) -> None:
        """Let the clients end, and the workers finish what there is."""
        self._troupe.stop("client", 60)
        ahead = 24 * 3600.0  # what is due within hours is due now
        end = time.monotonic() + REST_SECONDS
        quiet, said = 0, ""
        while quiet < 5:
            if fallen := self._troupe.fallen():
                raise RuntimeError("\n".join(fallen))
            if time.monotonic() > end:
                raise RuntimeError(f"no rest after {REST_SECONDS} s: {said}")
            ahead += 60.0  # and what is tried again in a minute
            for name in self._troupe.processes:
                write_skew(self._folder, name, ahead)
            layer.sweep(db)  # of rows that died in their own transaction
            busy = self._busy_with(layer, db)
            quiet = 0 if busy else quiet + 1
            if busy != said:
                print(f"  left: {busy}", file=sys.stderr, flush=True)
                said = busy
            time.sleep(0.5)
        self._troupe.stop("worker", 60)
        layer.sweep(db)

    @staticmethod
    def _busy_with(layer: Any, db: Any) -> str:
        """What is pending, queued, or waits for its time."""
        keys = layer.keyspace
        begins = {"actions": keys.outbox, "inputs": keys.all_inbox, "timers": keys.all_timers}
        left = {name: len(list(db.get_range(begin, begin + b"\xff"))) for name, begin in begins.items()}
        return ", ".join(f"{count} {name}" for name, count in left.items() if count)


def crash_run(folder: Path, arguments: argparse.Namespace) -> Audit:
    """One run from beginning to end."""
    cluster = None
    if arguments.fdbserver is not None:
        cluster = LocalCluster(folder, fdbserver=arguments.fdbserver, fdbcli=arguments.fdbcli)
        cluster.start()
        url = f"fdb:{cluster.cluster_file}"
    else:
        url = f"embedded:{folder / 'everything.phasm'}?synchronous={arguments.synchronous}"
    scene = Scene(url, folder, "judge")
    troupe = Troupe(url, folder)
    try:
        run = Run(troupe, folder, cluster, random.Random(arguments.seed))
        run.harass(arguments)
        db, layer, audit = scene.open(), scene.layer(), Audit()
        run.rest(layer, db)
        logs = read_logs(folder)
        audit.read_requeued(logs)
        audit.read_journal(layer, db)
        audit.read_logs(logs)
        audit.read_database(layer, db)
        return audit
    finally:
        for name in list(troupe.processes):
            troupe.kill(name)
        if cluster is not None:
            cluster.kill()


def parse(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.run", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="processes killed with SIGKILL")
    parser.add_argument("--freezes", type=int, default=5, help="processes stopped for longer than a lease")
    parser.add_argument("--server-kills", type=int, default=0, help="times that fdbserver is killed")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--synchronous", default="normal", choices=("normal", "full"), help="of the SQLite file")
    parser.add_argument("--fdbserver", help="run on a FoundationDB server of its own: this program")
    parser.add_argument("--fdbcli", help="and this one")
    return parser.parse_args(given)


def main() -> int:
    """Run, and say what was found; 1 if a promise was broken."""
    with tempfile.TemporaryDirectory(prefix="phasm-crash-") as folder:
        begun = time.monotonic()
        audit = crash_run(Path(folder), parse())
        print(f"{time.monotonic() - begun:.0f} s: {dict(sorted(audit.counts.items()))}")
    for wrong in audit.wrong[:20]:
        print("WRONG", wrong)
    print(f"{len(audit.wrong)} promises broken")
    return 1 if audit.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
