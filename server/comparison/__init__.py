"""Does federating pay? Sites alone, all in one room, the federation, and it fine-tuned at each site."""
