"""The catalog in PostgreSQL, which several servers may share.

    catalog.py           the Catalog and its Descriptions
    access.py            the Credentials
    address.py           where the database is: URLs, and what cannot be right with them
    connections.py       connections, each with an end to every wait
    reading.py           the connections that read, and turns at them
    group_commit.py      one transaction for whatever waits, and what became of it if the connection was lost
    transaction.py       one such transaction: its locks, its events, its end
    joining.py           what somebody else has in one transaction with a write
    news.py              hears of the events that other servers commit
    measures.py          what is counted of all this
    failures.py          what the driver raises, as the errors of the house
    checks.py            what has to be true of a database before anything is stored in it
    house.py             who has the tables: servers, or whoever moves them
    moving.py            all rows on their way out of a database, or into one
    migrating.py         how its tables come to be: the files in migrations/, in order
    columns.py           records as rows
    images.py, charges.py, uploads.py, room.py, facts.py, credentials.py    the statements

Who writes a row first takes a lock of the transaction on what the row is about (`user ana`, `upload 0198…`).
Transactions take all their locks at once, sorted, then that of the quota of open uploads if they need it, and
the counter of events last. So none waits for another that waits for it.
"""
