"""Whom to tell, and by which way: what Alertmanager's configuration and the sentinel have in common."""
