"""Results as tables on the terminal, CSV, pictures and one HTML page."""
