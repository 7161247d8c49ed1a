"""The benchmark: what recording every state and gate costs, beside the other ways to get them.

`make bench` runs it. Every competitor is a process of its own; one coordinator gives them the same
weights and inputs and has them take turns, so that whatever slows the machine slows them all.
"""
