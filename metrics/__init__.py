"""How good an edit is, in numbers."""
