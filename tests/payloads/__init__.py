"""Proves that each field and document of Zoho is read in every spelling that it has."""
