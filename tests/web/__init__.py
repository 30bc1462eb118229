"""Tests of what the library offers over HTTP."""
