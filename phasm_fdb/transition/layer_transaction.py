"""One attempt of a layer at a transaction; the way of one input through it reads from top to bottom in `apply`.

Everything is staged, and reaches the transaction by one `flush`; whatever raises on the way leaves nothing behind.
"""

from __future__ import annotations

from typing import Any

from phasm_fdb.actions import Actions, Untracked
from phasm_fdb.cache import CachedReader
from phasm_fdb.database.staged import Staged
from phasm_fdb.describing import changes_of
from phasm_fdb.effects import Outcome, Refusal
from phasm_fdb.errors import InvariantViolation, TransitionError
from phasm_fdb.fields.field import StateView
from phasm_fdb.machine import Input, TrackedActionCompleted
from phasm_fdb.meta import LayerMeta
from phasm_fdb.outbox import TransactionStamps
from phasm_fdb.receipts import Applied, Receipt
from phasm_fdb.state import Changes
from phasm_fdb.transition.context import LayerContext
from phasm_fdb.transition.decision import Decision, decide, view_over

#: How many changes an invariant's violation names in its notes.
MOST_NOTED = 20


class LayerTransaction:
    """What a layer does in one transaction, made anew for each attempt; the caller commits.

    Args:
        tr: the transaction, or staged writes over it that several of these share.
        stamps: what is kept of that transaction, if it is the caller's, or shared.
        cached: reads the transaction through a cache.

    Attributes:
        staged: what is read and written, until `flush`.
        meta: the meta row, once `load_meta` was called.
    """

    __slots__ = ("cached", "context", "meta", "staged", "stamps", "tr")

    meta: LayerMeta

    def __init__(
        self,
        context: LayerContext,
        tr: Any,
        stamps: TransactionStamps | None = None,
        cached: CachedReader | None = None,
    ) -> None:
        self.context = context
        self.tr = tr
        self.stamps = TransactionStamps() if stamps is None else stamps
        self.cached = cached
        self.staged = Staged(tr if cached is None else cached)

    def load_meta(self) -> LayerMeta:
        """Read the meta row, which is created if nothing is there; raises a KeyspaceError if it is not this layer's."""
        self.meta = self.context.meta.load(self.staged)
        return self.meta

    def flush(self) -> None:
        """Hand everything that is staged to the transaction; this object is used up then."""
        self.staged.flush(self.tr)
        if self.cached is not None:
            self.cached.wrote(self.staged.written())

    # ------------------------------------------------------------------------------------------ one input

    def apply(self, input: Input, receipt: Receipt | None = None, check_receipt: bool = False) -> Applied:
        """Apply one input.

        Args:
            receipt: where the outcome is recorded; None to record nothing.
            check_receipt: look for an earlier outcome there first.

        Raises:
            StaleCompletion, TransitionError, InvariantViolation, NondeterminismError, or whatever `stf` raises; nothing
            is written then, except that a TransitionError is written to the journal, where there is one.
        """
        sought = receipt if check_receipt else None
        decision = self._decide_on_guess(input, sought)
        if decision is None:  # nothing was guessed, or it was wrong
            self.load_meta()
        if sought is not None:
            earlier = self.context.receipts.find(self.staged, sought)
            if earlier is not None:
                return earlier
        if decision is None:
            decision = self._decide(input)
        decision.raise_if_failed()
        self._record(decision, receipt)
        self.flush()
        return Applied(decision.reply, decision.actions.tracked, decision.actions.untracked)

    def _decide_on_guess(self, input: Input, sought: Receipt | None) -> Decision | None:
        """Decide while the meta row and the receipt are on their way, as if the row were what it was the last time.

        This saves a round trip to the database. What is raised is kept, until it is known that the guess was right.

        Returns:
            None if there is no guess, or it was wrong: then nothing of it is left.
        """
        context = self.context
        if self.cached is not None or context.watched:
            return None
        guess = context.meta.guess(self.staged)
        if guess is None or guess.journal:
            return None
        self.meta = guess
        if sought is not None:
            self.staged.start(sought.key)
        decision = self._decide_and_keep_error(input)
        if context.meta.is_still(guess, self.staged):
            return decision
        self.staged = Staged(self.tr)
        return None

    def _decide_and_keep_error(self, input: Input) -> Decision:
        try:
            return self._decide(input)
        except Exception as error:
            view = view_over(self.staged, self.context.keyspace, self.meta.large, self.stamps)
            return Decision(view, Actions(0), error=error)

    def _decide(self, input: Input) -> Decision:
        """Decide an input that was not applied yet, and stage what follows from it in the outbox."""
        context, meta = self.context, self.meta
        self.staged.exclusive = meta.cached
        if isinstance(input, TrackedActionCompleted):
            context.outbox.require(self.staged, input.id)
        view = view_over(self.staged, context.keyspace, meta.large, self.stamps)
        if context.watched or meta.journal:
            decision = self._decide_with_safeguards(view, input)
        else:
            decision = decide(context.definition, view, input)
        if context.checked:
            self._check(decision, input)
        self._settle_outbox(decision, input)
        return decision

    def _decide_with_safeguards(self, view: StateView, input: Input) -> Decision:
        """Decide an input twice, or with an entry in the journal, as this process and the keyspace want it.

        Raises:
            NondeterminismError: a second run decided something else. And whatever `stf` raises.
        """
        context, meta, stamps, reader = self.context, self.meta, self.stamps, self._reader
        is_journaled = meta.journal or context.journal.wanted
        verifier = context.verifier
        if verifier is not None and not verifier.chooses(input):
            verifier = None
        if not is_journaled and verifier is None:
            return decide(context.definition, view, input)
        record = context.journal.record(reader, meta, stamps, input) if is_journaled else None
        number = stamps.count
        try:
            decision = decide(context.definition, view, input)
        except TransitionError as refusal:
            decision = Decision(view, Actions(0), error=refusal)
            outcome: Outcome = Refusal.of(refusal)
        else:
            outcome = decision.effects(context.definition, context.keyspace)
        if verifier is not None:
            verifier.verify(reader, meta.large, number, input, outcome)
        if record is not None:
            if isinstance(outcome, Refusal):
                record.refused(self.tr, outcome)
            else:
                self.meta = record.applied(self.staged, outcome)
        decision.raise_if_failed()
        return decision

    @property
    def _reader(self) -> Any:
        """What is read through below the staged writes."""
        return self.tr if self.cached is None else self.cached

    # ---------------------------------------------------------------------------------- what follows from it

    def _check(self, decision: Decision, input: Input) -> None:
        """Check the invariants on the staged state; a violation holds the input and what it would have changed."""
        definition, keyspace, staged = self.context.definition, self.context.keyspace, self.staged
        changes = Changes(definition.state_class.fields, keyspace.state, staged)
        try:
            definition.check_changes(self.context.state(staged, decision.view.large, "check_changes"), changes, input)
        except InvariantViolation as violation:
            violation.difference = changes_of(definition, keyspace, self._reader, staged)
            violation.add_note(f"after {input!r}, which would have changed")
            for change in violation.difference[:MOST_NOTED]:
                violation.add_note(f"  {change}")
            if len(violation.difference) > MOST_NOTED:
                violation.add_note(f"  and {len(violation.difference) - MOST_NOTED} more")
            raise
        if isinstance(input, TrackedActionCompleted):
            self._require_trace(decision, input)

    def _require_trace(self, decision: Decision, input: TrackedActionCompleted[Any]) -> None:
        """A result that changes neither the state nor what is pending was forgotten (PHASM's invariant 8)."""
        actions = decision.actions
        if actions.tracked or actions.delayed or actions.cancelled:
            return
        if not Changes(self.context.definition.state_class.fields, self.context.keyspace.state, self.staged):
            raise InvariantViolation(
                f"result {input.result!r} of action {input.id!r} changes neither the state nor what is pending; it "
                "must update the state (PHASM's invariant 8)",
                input=input,
            )

    def _settle_outbox(self, decision: Decision, input: Input) -> None:
        """Take the completed action and the cancelled ones out of the outbox, and put the new ones in."""
        outbox, actions = self.context.outbox, decision.actions
        if isinstance(input, TrackedActionCompleted):
            outbox.remove(self, input.id)
        if actions.is_empty:
            return
        for id in actions.cancelled:
            outbox.remove(self, id)
        for action, raw in actions.encoded:
            if not isinstance(action, Untracked):
                outbox.emit(self, action, raw, self.meta.lanes, input.at)

    def _record(self, decision: Decision, receipt: Receipt | None) -> None:
        """Stage the receipt, and the meta row where a field holds its first large value, or a cache its first use."""
        context = self.context
        context.meta.note(self.staged, self.meta, decision.view.large, self.cached is not None)
        if receipt is not None:
            context.receipts.write(self.staged, receipt, decision.reply, decision.actions)
