"""What node_exporter does not say of a host: its heartbeat files, and the errors in its logs."""
