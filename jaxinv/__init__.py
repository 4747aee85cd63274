"""Whether, where and why a network respects translation: proved, measured and mended."""
