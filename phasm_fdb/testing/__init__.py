"""Tools for the tests of machines: property tests from a machine's types, and the lint as an assertion.

`machine_strategy` and `values_of` need Hypothesis, which is imported when they are called and not before.
"""

from phasm_fdb.testing.linting import assert_deterministic
from phasm_fdb.testing.stateful import machine_strategy
from phasm_fdb.testing.values import values_of

__all__ = ["assert_deterministic", "machine_strategy", "values_of"]
