"""Blobs in an S3-compatible object store, over the rows of a PostgresCatalog, which several servers share.

    store.py         the store: what is opened and closed
    place.py         which bucket, and how it is reached
    objects.py       objects and their names; requests, each with an end to its wait
    rows.py          the statements: blobs, places, extents; sweep_rows.py, those of the sweeper
    packs.py         small blobs: one object for whatever waits
    staged.py        bytes on their way in; resumable.py, those of uploads; staging.py makes both
    blobs.py         bytes that are read; view.py, those that are looked at in a thread
    local_files.py   the bounded folder with copies for decoders
    sweeping.py      removes what nothing refers to; compacting.py, the holes in packs
    moving.py        all bytes on their way out of a store, or into one, without servers
    measures.py      what is counted of requests
    memory.py, sums.py, sha256.py    memory for uploads, checksums, a hash that can be gone on with

Only PUT, GET of a range, HEAD, LIST and DELETE are asked of the object store.

A blob is a list of places: (object, start, size). An object has a random name with the time at which it was
named, and is written once:

    packs/20260131/235959-<random>    small blobs of one moment, one behind the other
    parts/20260131/235959-<random>    at most some MiB of one blob, or of one upload

Beside them is one that is called `house`, with the number of the database: another one, which names none of
the objects, would have them all removed.

Bytes come first, and rows second: in the transaction that adds the image, or counts the bytes of the upload.
So whatever a row names is there. What was written without a row coming about is garbage, and so is what no
row names any more. Nobody who writes removes any: a request that was cancelled, or whose outcome is unknown,
may still come about. One sweeper at a time does, and removes rows first and objects later.

By the clock of the database, a row that names an object comes at most `Graces.pack` or `Graces.part` after
the object was named: a later one is refused. What is older and has no row will never have one.

Bytes that come again take the place of those that are there: they are known to be good, whatever the store
has done to the others. The places change in one transaction; the old objects stay for those who read them.

Whatever is read was checked before it is given: every MiB has a CRC-32C in the row of its place, and a blob
that is read in one piece is compared with its SHA-256.
"""
