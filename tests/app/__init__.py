"""Proves that an application is wired as it says, and that a whole ERP ends right."""
