"""Borders cut from the interior: a program on maps held in pieces, equal to the original.

Where a map has met padding, only its border has; its interior still moves with every shift. So the
map is held in pieces, along each axis what stands before, in, and after the interior, and each
operation makes the pieces of its result from those parts of its operands that they read.
"""
