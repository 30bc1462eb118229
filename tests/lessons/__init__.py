"""Keeps the defects of others from coming back: lessons by number, and rulings, room by room."""
