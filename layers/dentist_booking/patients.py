"""The clients of a clinic process that can be killed: they ask until everything is answered.

A patient has a request id and repeats it; nothing else is remembered on this side. So an answer that was lost in a
crash is asked for again, and has to be the same.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Life:
    """One life of the clinic process.

    Attributes:
        lines: what it printed, up to its end or to when it was killed.
        lost: what it printed after that, which nobody heard.
    """

    lines: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    killed: bool = False

    def count(self, word: str) -> int:
        """How many lines start with a word."""
        return sum(line.startswith(word) for line in self.lines)


class Patients:
    """Everyone who asks for a booking.

    Args:
        database: the URL of the practice's database.
        books: the file of the payment provider.
        seed: decides what they ask for.
        practice: the name of the practice.

    Attributes:
        asked: how many have asked so far.
        booked: the number that the practice gave to a request, by the patient's own.
        refused: why the others were refused.
    """

    def __init__(self, database: str, books: Path, seed: int, practice: str) -> None:
        module = "layers.dentist_booking.clinic"
        options = ["--seed", str(seed), "--practice", practice]
        self._command = [sys.executable, "-m", module, database, str(books), *options]
        self._unanswered: list[int] = []
        self._unheard: dict[int, int] = {}
        self.asked = 0
        self.booked: dict[int, int] = {}
        self.refused: dict[int, str] = {}

    def ask(self, arriving: int, kill_at: Callable[[str], bool] = lambda line: False) -> Life:
        """Start the clinic, ask for everything unanswered, and listen until it ends or is killed.

        Args:
            arriving: how many patients ask for the first time.
            kill_at: told of each line; says whether to kill the process now (SIGKILL).

        Raises:
            AssertionError: an answer is not the one that was given before.
            subprocess.CalledProcessError: the process failed by itself.
        """
        life = Life()
        self._unanswered += range(self.asked, self.asked + arriving)
        self.asked += arriving
        with subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            for line in self._conversation(process):
                if life.killed:
                    life.lost.append(line)
                    self._lose(line)
                    continue
                life.lines.append(line)
                self._hear(line)
                if kill_at(line):
                    process.send_signal(signal.SIGKILL)
                    life.killed = True
        if process.returncode != (-signal.SIGKILL if life.killed else 0):
            raise subprocess.CalledProcessError(process.returncode, self._command)
        return life

    def _conversation(self, process: subprocess.Popen[str]) -> Iterator[str]:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(f"{number}\n" for number in self._unanswered))
        process.stdin.close()
        for line in process.stdout:
            if line.endswith("\n"):  # a killed process may leave half a line
                yield line.rstrip("\n")

    def _hear(self, line: str) -> None:
        what, *words = line.split()
        if what == "answered":
            number, given = map(int, words)
            before = self._unheard.get(number, given)
            assert given == before, f"request {number} was answered with {given}, and before that with {before}"
            assert given not in self.booked.values(), f"request {number} was answered with {given}, as another one was"
            self.booked[number] = given
            self._unanswered.remove(number)
        elif what == "refused":
            self.refused[int(words[0])] = words[1]
            self._unanswered.remove(int(words[0]))

    def _lose(self, line: str) -> None:
        what, *words = line.split()
        if what == "answered":
            number, given = map(int, words)
            before = self._unheard.setdefault(number, given)
            assert given == before, f"request {number} was answered with {given}, and before that with {before}"
