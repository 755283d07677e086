"""One input, one transition: what an input does, from the request to the commit.

`retrying` runs an input in a transaction of its own; `layer_transaction` is one attempt at it, and all that a layer
does in a transaction of others; `decision` is what `stf` led to, and `double_run` has it decided twice; `submission`
leaves inputs to a worker; `context` has the layer's parts, which all of these share.
"""
