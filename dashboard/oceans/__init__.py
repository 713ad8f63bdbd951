"""The parts of the page Oceans: what its map shows, its panels, and its exports."""
