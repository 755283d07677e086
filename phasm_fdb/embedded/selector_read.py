"""Range reads whose ends are selectors to be looked up, on the view of a transaction.

This follows FoundationDB's client step by step (getRangeValue and getRangeValueBack in
fdbclient/ReadYourWrites), because the steps show: which unreadable keys are touched, where a limit ends the
read and whether an end was run off decide errors and conflict ranges. Reads between two plain keys go the
short way of `span_read`.
"""

from __future__ import annotations

from phasm_fdb.embedded.found import Found
from phasm_fdb.embedded.limits import Limits
from phasm_fdb.embedded.selector import END, Place
from phasm_fdb.embedded.selector_backward import BackwardRead
from phasm_fdb.embedded.selector_forward import ForwardRead
from phasm_fdb.embedded.view import View


def read_range(view: View, begin: Place, end: Place, limits: Limits, reverse: bool) -> Found:
    """The rows from `begin` to before `end`, up to `limits`, which are used up.

    Raises:
        FDBError: 1036 when the read touches an unreadable key; 1007 when the snapshot is too old.
    """
    if reverse:
        return BackwardRead(view, begin, end, limits, get_key).run()
    return ForwardRead(view, begin, end, limits, get_key).run()


def get_key(view: View, place: Place) -> bytes:
    """The key that a selector names: the empty key before all of them, `b"\\xff"` after all of them.

    Raises:
        FDBError: 1036 when the lookup touches an unreadable key; 1007 when the snapshot is too old.
    """
    if place.offset > 0:
        found = read_range(view, place, Place(END, 1), Limits(1), False)
        if found.to_begin:
            return b""
        return END if found.through_end or not found.rows else found.rows[0][0]
    found = read_range(view, Place(b"", 1), Place(place.key, place.offset + 1), Limits(1), True)
    if found.through_end:
        return END
    return b"" if found.to_begin or not found.rows else found.rows[0][0]
