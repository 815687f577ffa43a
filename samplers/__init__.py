"""Dual guidance for InstructPix2Pix: pure torch maths, and `guider.py`, which knows ComfyUI."""
