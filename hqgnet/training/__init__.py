"""The paper's training: pretrain, enhance (HQG-Net), cooperate (HQG-Net+), each a file; and their loop."""
