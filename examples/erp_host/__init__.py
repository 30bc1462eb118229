"""An ERP of its own, kept in step with Zoho: its tables, the mapping, and the web application.

``schema.py``
    The ERP's tables: integer keys, foreign keys, columns that know nothing of Zoho.
``mapping.py``
    Which of those columns hold what.
``app.py``
    The web application; Zoho's deliveries arrive at ``/webhooks/zoho``.

Run it with ``python -m examples.erp_host``.
"""
