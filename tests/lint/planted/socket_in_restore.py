"""A connection, in restore, by a helper that is a static method."""

from __future__ import annotations

import socket

from tests.lint.speaking import Shop


class Planted(Shop):
    def restore(self, state, actions):
        self.ask("provider.example", 443)

    @staticmethod
    def ask(host, port):
        return socket.create_connection((host, port))  # found: socket
