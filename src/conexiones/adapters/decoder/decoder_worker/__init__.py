"""The program of one decoder process: previews, renditions and facts of files, one after another, until its
input ends.

Started by `conexiones.adapters.decoder.pool` as a package of its own, so its modules import nothing of
Conexiones but each other, relatively; its arguments are the memory in bytes that one request may take, and
how nice it is to other processes. Standard input is a stream socket. Every message on it is its length (4
bytes, big-endian) and that many bytes:

    worker → server   an empty message: ready
    server → worker   JSON {"task", "path", "format", "pixels", …}; the rest is the arguments of the task
    worker → server   an empty message: taken
    worker → server   JSON {"cause", "detail", …}, and what the task found if `cause` is empty
    worker → server   the image that the task made, or an empty message

`cause` is one of NoPreview's; `detail` is a library's own text, for the log only. What the libraries print
goes to standard error, which holds the output of the latest request.
"""
