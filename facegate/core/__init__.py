"""Pure rules on values: no I/O, no clock, no randomness of their own."""
