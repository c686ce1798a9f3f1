"""The program of one worker process: it makes previews, renditions and facts of files, one after another,
until its standard input ends.

`conexiones.adapters.decoder.worker_process` starts it as a package of its own, so its modules import nothing
of Conexiones but each other, relatively, and `conexiones.exif`. It then confines itself (sandbox.py). Its
arguments are how nice it is to other processes, the folders of those modules, and the bytes of memory that
one request may take. Standard input is a stream socket. Every message on it consists of its length (4 bytes,
big-endian) and that many bytes:

    worker → server   JSON: the parts of the sandbox that hold. The worker is ready
    server → worker   JSON {"task", "format", "pixels", …}; the rest is the arguments of the task. Its first
                      byte carries the descriptor of the file (SCM_RIGHTS)
    worker → server   an empty message: the worker has taken the request
    worker → server   JSON {"cause", "detail", …}; the rest is what the task found, if `cause` is empty
    worker → server   the image that the task made, or an empty message

`cause` is a Refusal; `detail` is a library's own text, for the log only. What the libraries print goes to
standard error, which holds the output of the latest request.
"""

from typing import Literal

Refusal = Literal["PIXELS", "MEMORY", "CORRUPT", "UNSUPPORTED"]
"""The causes of NoPreview that the worker itself finds. The others are its death and the end of its time."""
