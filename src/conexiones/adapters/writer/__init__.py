"""A process that makes small blobs and rows durable for the server.

In threads, writing would wait for the interpreter of the event loop, and the loop for theirs. The process
knows neither blobs nor catalogs: those who use it name the class that appends blobs and the class that
commits rows, and it makes whatever waits durable together.

    client.py         what the server's adapters call
    line.py           what waits, in the order of turns
    process.py        the process as the server sees it
    group_commit.py   the program that runs in it
    messages.py       what the two say to each other
    ring.py           the memory that they share
"""
