"""How much an enhanced image hangs on the guide: many guides, and noise on one (Table V c, VI, Fig. 7, 8)."""
