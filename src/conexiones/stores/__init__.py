"""Where a server keeps what it is given, as one thing for app.py.

stores.py      what app.py needs of it
embedded.py    SQLite and a data folder, which one server has to itself
shared.py      PostgreSQL and an S3 store, which any number of servers have together
"""
