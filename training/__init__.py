"""Fine-tuning of an InstructPix2Pix model, by the recipe of the paper."""
