"""A machine and helpers that call each other in circles."""

from __future__ import annotations

from tests.lint.speaking import Shop


class Clean(Shop):
    def stf(self, state, input, actions):
        one = other = input.payload.user
        one = other or one
        other = one or other
        return [self.stf, even(4), one, other]


def even(number):
    return number == 0 or odd(number - 1)


def odd(number):
    return number != 0 and even(number - 1)
