"""Its `restore` knows of charges alone: a refund that was under way is not named."""

from phasm_fdb import Actions, Tracked
from tests.simulation.theatre import CheckCharge, Status, Theatre, TheatreState, TheatreWorkload

EXPECTED = "restore names what is pending"


class Misses(Theatre):
    def restore(self, state: TheatreState, actions: Actions) -> None:
        for number in state.by_status.keys(Status.CHARGING):
            user = state.bookings[number].user
            actions.add(Tracked(("charge", number), CheckCharge(number), ordering_key=user))


class Planted(TheatreWorkload):
    machine = Misses
