"""What is kept of people, in SQL."""
