"""Maps: projections, index maps from cells to pixels, colours, and the linked figures."""
