"""Gives the tests one ERP: tables, handlers, documents, events, and plain SQL over its rows."""
