"""A student's own layer against numerical gradients and our formulas, and what went wrong in it.

`student` calls a layer whoever wrote it, `construct` makes one from its class, `kinds` know what
each kind of layer computes and how people get it wrong, `general` what goes wrong in any layer,
`examine` compares, `report` writes it down. A cause is named only where its numbers are those
found.
"""
