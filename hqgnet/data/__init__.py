"""A hospital's images: from files in a site folder to tensors that a training step takes."""
