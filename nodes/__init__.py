"""What the editor shows: thin nodes, one family a file."""
