"""Puts the parts together: `ZohoSync`, which knows them all.

The last stage in the order of imports and the first that a host meets; `zoho_sync` itself exports
what is here.
"""
