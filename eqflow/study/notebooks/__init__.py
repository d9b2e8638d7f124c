"""What a notebook calls (`notebook`, `figures`, `curves`, `meters`), and what executes and publishes it."""
