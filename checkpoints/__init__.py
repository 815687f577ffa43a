"""Files on disk -> MODEL, CLIP and VAE: formats, EMA, checks."""
