"""Recipes for those who have a GPU: scripts run from the repository, not part of the installed package."""
