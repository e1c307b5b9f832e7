"""Evidence made readable: tables, figures, one page."""
