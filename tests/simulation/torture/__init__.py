"""One machine made of everything that a machine can do, a model of what the layer promises, and what drives both.

`machine` is the machine: an input is a list of steps, and `drawing` draws such lists, weighted anew for each seed.
`promises` is a plain Python model of what the layer promises about them; it shares no code with the layer. `game` plays
callers against a database in memory that fails, one step at a time, and compares each answer with the model.
"""
