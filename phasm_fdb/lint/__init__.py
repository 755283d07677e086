"""Reading a machine's code for what its state and input do not decide.

`check_machine(machine)` gives the findings; `phasm lint MODULE[:MACHINE]` prints them. The rules are `RULES`; a comment
on the line, `# phasm: allow clock`, says that a finding is meant.

It reads what the machine reaches, and finds by their names what the guard finds when it runs, and before; and what the
guard cannot see: orders that vary, state that is shared, and floats as money. It cannot follow what has no name:
`getattr` with a computed name, `eval`, an attribute of an object whose class it does not know and the machine does not
speak. Double runs and simulation are for those.
"""

from phasm_fdb.lint.check import check_machine
from phasm_fdb.lint.finding import Finding, LintError
from phasm_fdb.lint.machines import load_machines
from phasm_fdb.lint.rules import RULES

__all__ = ["RULES", "Finding", "LintError", "check_machine", "load_machines"]
