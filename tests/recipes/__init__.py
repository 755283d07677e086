"""The examples of FoundationDB's documentation, written anew from their descriptions, as tests of the engine.

Each module is a small layer as an application would have it, with its tests below: the class scheduling
tutorial and the recipes for queues, priority queues, blobs, tables, multimaps and vectors
(https://apple.github.io/foundationdb/class-scheduling.html and design-recipes.html).
"""
