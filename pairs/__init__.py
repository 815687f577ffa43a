"""Training pairs: before, after and the instruction between them."""
