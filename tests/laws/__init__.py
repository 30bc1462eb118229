"""The laws of the library, one module each."""
