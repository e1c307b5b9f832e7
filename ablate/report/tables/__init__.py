"""The study as tables, one module per question; each gives a record that every rendering reads."""
