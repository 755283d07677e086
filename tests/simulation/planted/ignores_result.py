"""Does nothing about a card that is declined: the booking waits for its payment for ever."""

from tests.simulation.theatre import Booking, Theatre, TheatreState, TheatreWorkload

EXPECTED = "results count"


class Ignores(Theatre):
    def declined(self, state: TheatreState, number: int, booking: Booking) -> None:
        pass


class Planted(TheatreWorkload):
    machine = Ignores
