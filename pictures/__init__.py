"""Pixels in, pixels out: the frame of an edit, masks and contact sheets."""
