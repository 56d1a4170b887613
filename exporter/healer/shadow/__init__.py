"""Runs beside another healer and tells where the two disagree, so that a team can move over with proof."""
