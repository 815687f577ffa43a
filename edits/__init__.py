"""What an edit is: its settings, its presets and its API prompt. Standard library only."""
