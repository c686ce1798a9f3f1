"""What the domain needs from outside: small protocols, and the records that they move.

An adapter may be called from several tasks at once unless a docstring says otherwise. It turns the failures
of its backend into StorageFull (no space, a quota, a limit on the size of files) and StorageUnavailable (all
others), with the cause chained. A call that was cancelled leaves nothing half done.

How an adapter is made, opened and closed is its own; app.py does it.
"""
