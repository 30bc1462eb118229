"""Works a queue off: claims a batch, attempts it in one transaction, settles what it came to.

Comes after `zoho_sync.queues`, whose engines it knows by `zoho_sync.abc.QueueBackend` alone. The
events themselves are applied by `zoho_sync.apply`.
"""
