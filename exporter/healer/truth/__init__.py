"""truth.json, the wiring document: its model, loading and checking it, watching and seeding it in Redis."""
