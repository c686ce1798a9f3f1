"""What the domain needs from outside: small protocols, and the records they move.

An adapter may be called from several tasks at once unless a docstring says otherwise. Adapters turn the
failures of their backend into StorageFull (no space, quota, file size) and StorageUnavailable (anything
else), with the cause chained; a coroutine that was cancelled leaves nothing half done.
"""
