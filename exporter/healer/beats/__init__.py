"""Beats: what one is, the board of what was last heard, and the buses they are heard on."""
