"""An ERP for tests: tables, handlers, documents, events, and plain SQL over its rows."""
