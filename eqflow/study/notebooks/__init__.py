"""What a notebook calls (`notebook`, `report`, `curves`, `meters`), and what executes and publishes it."""
