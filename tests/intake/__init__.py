"""Proves that what is sent is understood or has a clear answer, and that strangers stay out."""
