"""Autoheal: acts on alerts as the operator's policy file allows in writing, and keeps a record of everything."""
