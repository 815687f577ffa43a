"""How good an edit is, in numbers: pure functions of pictures, embeddings and scores."""
