"""Maps: projections, colours, wind, and the linked figures."""
