"""What a worker may still do once it has loaded its libraries: next to nothing but compute.

Three parts, each of which the kernel keeps for good, for this process and all of its threads:

- no_new_privs: no program that it starts would gain any rights.
- Landlock (https://docs.kernel.org/userspace-api/landlock.html): no file can be opened, made or removed by
  its path, no TCP port be bound or connected, no signal be sent to another process.
- seccomp: system calls that decoding does not need fail with EPERM, which libraries that probe for something
  survive. Those that only an intruder would make kill the process, which the server logs as a crash.

What was open before stays usable: the socket to the server, through which come the descriptors of the images,
and standard error.

The filter for seccomp is compiled by libseccomp, the library of systemd, Docker and apt: it knows the numbers
of the system calls of each machine. Its library is asked directly, because its Python binding comes without
wheels. Landlock has no library in C: without any exception, it takes three system calls, whose numbers are
the same on all machines.
"""

import ctypes
import errno
import fcntl
import mmap
import os

PR_SET_NAME, PR_SET_NO_NEW_PRIVS = 15, 38

PARTS = ("no_new_privs", "landlock", "seccomp")

# Landlock: what each version of its interface (ABI) handles.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION_FLAG = 1
_FILES = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_NETWORK = {4: 0b11}
_SCOPES = {6: 0b11}

# seccomp.h of libseccomp.
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_NO_NEW_PRIVS, _ALL_THREADS, _BAD_ARCHITECTURE = 3, 4, 2
_LESS, _EQUAL, _MASKED_EQUAL = 1, 4, 7

_CLONE_THREAD = 0x10000
_MADV_HWPOISON = 100
"""The first advice that only the superuser may give."""

ALLOWED = (
    # Memory. For `mmap`, `mprotect` and some others see `_add_rules`.
    *("brk", "munmap", "mremap"),
    # Threads
    *("futex", "futex_waitv", "set_robust_list", "rseq", "membarrier", "exit", "exit_group"),
    *("sched_yield", "sched_getaffinity", "getcpu"),
    # Signals, for the end by abort()
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    # Descriptors that it has. `newfstatat` and `statx` are not among them, because they take paths.
    *("read", "readv", "pread64", "preadv", "write", "writev", "lseek", "_llseek", "fstat"),
    *("close", "dup", "poll", "ppoll"),
    # The socket that it has. `sendto` cannot send anywhere else, as the socket is connected.
    *("recvfrom", "recvmsg", "sendto", "sendmsg"),
    # Facts about time and itself
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times"),
    *("getpid", "gettid", "getrandom", "getrusage", "sysinfo", "uname"),
)

FATAL = (
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev"),
    *("socket", "socketpair", "bpf"),
)


class _Argument(ctypes.Structure):
    """A condition on an argument of a system call (struct scmp_arg_cmp)."""

    _fields_ = (
        ("number", ctypes.c_uint),
        ("comparison", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class _RulesetAttributes(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def forbid_new_privileges() -> bool:
    """Whether the kernel does so from now on."""
    return bool(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def close_files() -> int:
    """Closes the file system to this thread and to those that it starts. Call it before there are others.

    Gives the version of Landlock's interface, 0 if the kernel has none.
    """
    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    if version < 1:
        return 0

    def handled(parts: dict[int, int]) -> int:
        return sum(mask for since, mask in parts.items() if since <= version)

    wanted = _RulesetAttributes(handled(_FILES), handled(_NETWORK), handled(_SCOPES))
    # Older kernels know the first fields only, and take no more than those.
    size = 8 * (3 if wanted.scopes else 2 if wanted.network else 1)
    rules = libc.syscall(_CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(size), 0)
    if rules < 0:
        return 0
    try:
        return 0 if libc.syscall(_RESTRICT_SELF, rules, 0) else int(version)
    finally:
        os.close(rules)


class SystemCallFilter:
    """The filter for seccomp, with the rules of this module. Make it before the file system is closed,
    because it loads libseccomp."""

    def __init__(self) -> None:
        self._filter: int | None = None
        try:
            library = ctypes.CDLL("libseccomp.so.2")
        except OSError:
            return
        self._library = library
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_init.argtypes = [ctypes.c_uint32]
        library.seccomp_release.argtypes = [ctypes.c_void_p]
        library.seccomp_load.argtypes = [ctypes.c_void_p]
        library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
        library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
        library.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.POINTER(_Argument),
        ]
        self._filter = library.seccomp_init(_ERRNO | errno.EPERM)

    def load(self) -> bool:
        """Has the kernel filter the system calls of all threads from now on. False if it cannot."""
        if not self._filter:
            return False
        try:
            for attribute, value in ((_NO_NEW_PRIVS, 1), (_ALL_THREADS, 1), (_BAD_ARCHITECTURE, _KILL)):
                self._check(self._library.seccomp_attr_set(self._filter, attribute, value))
            self._add_rules()
            self._check(self._library.seccomp_load(self._filter))
        except OSError:
            return False
        finally:
            self._library.seccomp_release(self._filter)
            self._filter = None
        return True

    def _add_rules(self) -> None:
        for name in ALLOWED:
            self._add(_ALLOW, name)
        for name in FATAL:
            self._add(_KILL, name)
        # Memory is either written to or executed, and nothing new is executed. What is shared but no file
        # would not count for the limit of memory.
        data = _Argument(2, _MASKED_EQUAL, mmap.PROT_EXEC, 0)
        private = _Argument(3, _MASKED_EQUAL, mmap.MAP_PRIVATE | mmap.MAP_SHARED, mmap.MAP_PRIVATE)
        file = _Argument(3, _MASKED_EQUAL, mmap.MAP_ANONYMOUS, 0)
        for name in ("mmap", "mmap2"):
            self._add(_ALLOW, name, data, private)
            self._add(_ALLOW, name, data, file)
        self._add(_ALLOW, "mprotect", data)
        self._add(_ALLOW, "madvise", _Argument(2, _LESS, _MADV_HWPOISON, 0))
        # Not F_SETOWN and F_SETSIG, by which the kernel would send signals to other processes.
        for command in (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL):
            self._add(_ALLOW, "fcntl", _Argument(1, _EQUAL, command, 0))
        # Threads, but no processes. clone3 keeps its flags where no filter can read them: glibc then uses
        # clone.
        self._add(_ALLOW, "clone", _Argument(0, _MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD))
        self._add(_KILL, "clone", _Argument(0, _MASKED_EQUAL, _CLONE_THREAD, 0))
        self._add(_ERRNO | errno.ENOSYS, "clone3")
        # Its own threads only, for abort().
        self._add(_ALLOW, "tgkill", _Argument(0, _EQUAL, os.getpid(), 0))
        # Limits can be read, and not be changed; threads may have names; standard error can be emptied.
        self._add(_ALLOW, "prlimit64", _Argument(2, _EQUAL, 0, 0))
        self._add(_ALLOW, "prctl", _Argument(0, _EQUAL, PR_SET_NAME, 0))
        self._add(_ALLOW, "ftruncate", _Argument(0, _EQUAL, 2, 0))

    def _add(self, action: int, name: str, *conditions: _Argument) -> None:
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # this machine, or this version of the library, does not know it
        array = (_Argument * len(conditions))(*conditions)
        self._check(
            self._library.seccomp_rule_add_array(self._filter, action, number, len(conditions), array)
        )

    def _check(self, status: int) -> None:
        if status:
            raise OSError(-status, os.strerror(-status))


def main() -> None:
    """Prints the parts that hold on this machine, one to a line, for `conexiones doctor`."""
    calls = SystemCallFilter()
    holds = ["no_new_privs"] if forbid_new_privileges() else []
    if version := close_files():
        holds.append(f"landlock (version {version})")
    if calls.load():
        holds.append("seccomp")
    os.write(1, "\n".join(holds).encode())


if __name__ == "__main__":
    main()
