"""The history of health in SQL."""
