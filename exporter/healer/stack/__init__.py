"""Real servers for a native run: found or fetched, started on free ports, stopped without a trace."""
