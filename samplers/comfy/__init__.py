"""What knows how ComfyUI samples: the guider and everything that runs it."""
