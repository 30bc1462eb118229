"""Static types, as a project that uses the library sees them."""
