#!/usr/bin/env python3
"""Run a FoundationDB cluster of one process on this machine: for tests, demos and trying things out.

    scripts/local_cluster.py                      start, print the cluster file, run until Ctrl-C
    scripts/local_cluster.py pytest -m cluster    start, run a command that finds it in FDB_CLUSTER_FILE, stop

In a test:

    with local_cluster() as cluster_file:
        db = phasm_fdb.open(f"fdb:{cluster_file}")

It listens on loopback, on a free port, and its data lies in a scratch folder that goes when it stops.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

USUAL_FOLDERS = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/local/libexec")
START_SECONDS = 60.0
POLL_SECONDS = 0.1
STORAGES = ("memory", "ssd")

INSTALL = """{program} was not found on the PATH nor in {folders}.

Install FoundationDB 7.1 or newer, either the packages foundationdb-clients and foundationdb-server, or the single
files fdbserver.*, fdbcli.* and libfdb_c.* (no root needed), from
    https://github.com/apple/foundationdb/releases
or name the programs: scripts/local_cluster.py --fdbserver PATH --fdbcli PATH
Without a cluster everything runs on 'memory:' and 'embedded:PATH'."""


class ClusterError(Exception):
    """The cluster cannot be started; the message says why, or what to install."""


def find_program(name: str, path: str | None = None, beside: Path | None = None) -> Path:
    """The program `name`: at `path` if given, else on the PATH, beside another one, or in a usual place.

    Raises:
        ClusterError: it is not there; the message says how to install it.
    """
    if path is not None:
        if not os.access(path, os.X_OK):
            raise ClusterError(f"{path} is not a program")
        return Path(path).resolve()
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *([str(beside)] if beside else []), *USUAL_FOLDERS]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise ClusterError(INSTALL.format(program=name, folders=", ".join(USUAL_FOLDERS)))
    return Path(found).resolve()


class LocalCluster:
    """One fdbserver process and its folder.

    Args:
        folder: an empty folder, or that of an earlier run, whose data is then served again.
        fdbserver: the program; None to look for it. `fdbcli` likewise.
        storage: "memory" (logged to disk all the same) or "ssd".
    """

    def __init__(
        self, folder: Path, *, fdbserver: str | None = None, fdbcli: str | None = None, storage: str = "memory"
    ) -> None:
        self._fdbserver = find_program("fdbserver", fdbserver)
        self._fdbcli = find_program("fdbcli", fdbcli, beside=self._fdbserver.parent)
        self._storage = storage
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.cluster_file = folder / "fdb.cluster"

    def start(self) -> None:
        """Start the server and return when the database is available.

        Raises:
            ClusterError: it is not available within a minute, or the server ended; with the end of its output.
        """
        is_new = not self.cluster_file.exists()
        if is_new:
            address = f"127.0.0.1:{_free_port()}"
            self.cluster_file.write_text(f"phasm:{secrets.token_hex(4)}@{address}\n")
        address = self.cluster_file.read_text().strip().partition("@")[2]
        for name in ("data", "log"):
            (self._folder / name).mkdir(exist_ok=True)
        command = [
            *(str(self._fdbserver), "--cluster-file", str(self.cluster_file)),
            *("--public-address", address, "--listen-address", "public"),
            *("--datadir", str(self._folder / "data"), "--logdir", str(self._folder / "log")),
        ]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: the server is stopped when we are done with it
            )
        if is_new:
            configure = f"configure new single {self._storage}"
            self._until(lambda: "created" in self.cli(configure).lower(), "took no configuration")
        self._until(lambda: "is available" in self.cli("status minimal"), "did not become available")

    def kill(self) -> None:
        """Kill the server as `kill -9` does; `start` serves the same data again, on the same port."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # A FoundationDB process has nothing to do at its end: it is made to be killed, and recovers from its log.
    stop = kill

    def cli(self, command: str) -> str:
        """Run a command of fdbcli and return what it printed."""
        arguments = [str(self._fdbcli), "-C", str(self.cluster_file), "--timeout", "5", "--exec", command]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False).stdout

    @property
    def _output(self) -> Path:
        return self._folder / "output"

    def _until(self, condition: Callable[[], bool], failure: str) -> None:
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        while not condition():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > until:
                self.stop()
                reason = "ended" if ended else f"{failure} within {START_SECONDS:g} s"
                raise ClusterError(
                    f"fdbserver {reason}; its output: {self._output.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def local_cluster(
    *, fdbserver: str | None = None, fdbcli: str | None = None, storage: str = "memory", folder: Path | None = None
) -> Iterator[str]:
    """A running cluster, as the path of its cluster file; stopped and removed afterwards.

    Args:
        folder: where its data lies; that is kept. None for a scratch folder.

    Raises:
        ClusterError: there is no fdbserver or fdbcli, or it does not start.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="phasm-cluster-")))
        folder.mkdir(parents=True, exist_ok=True)
        cluster = LocalCluster(folder, fdbserver=fdbserver, fdbcli=fdbcli, storage=storage)
        stack.callback(cluster.stop)
        cluster.start()
        yield str(cluster.cluster_file)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _run(cluster_file: str, command: Sequence[str]) -> int:
    """Run the command to its end, or wait for Ctrl-C if there is none; returns the exit status."""
    if not command:
        print(cluster_file, flush=True)
        signal.pause()
    settings = {"FDB_CLUSTER_FILE": cluster_file, "PHASM_TEST_CLUSTER_FILE": cluster_file}
    environment = {**os.environ, **settings, "PHASM_TEST_CLUSTER_SCRATCH": "1"}
    return subprocess.run(command, env=environment, check=False).returncode


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fdbserver", metavar="PATH", help="the fdbserver program; looked for otherwise")
    parser.add_argument("--fdbcli", metavar="PATH", help="the fdbcli program; looked for otherwise")
    parser.add_argument("--storage", choices=STORAGES, default="memory", help="the storage engine (default: memory)")
    parser.add_argument("--folder", type=Path, help="keep the data in this folder (default: a scratch folder)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run with FDB_CLUSTER_FILE set")
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    programs = {"fdbserver": options.fdbserver, "fdbcli": options.fdbcli}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with local_cluster(**programs, storage=options.storage, folder=options.folder) as cluster_file:
            return _run(cluster_file, command)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
