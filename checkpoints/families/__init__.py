"""The kinds of checkpoint that can edit, one file a family."""
