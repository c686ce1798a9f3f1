import socket
import sys
from contextlib import suppress
from threading import Thread


class Proxy:
    """Passes bytes on between clients and a server, until it cuts their connections."""

    def __init__(
        self, address: str = "localhost:0", server: str = "localhost:50051", cut_after: float = float("inf")
    ) -> None:
        host, port = address.split(":")
        self.listener = socket.create_server((host, int(port)))
        self.address = f"{host}:{self.listener.getsockname()[1]}"
        self.server = server
        self.cut_after = cut_after
        self.passed = 0
        self.cuts = 0
        self.ends = []
        Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            host, port = self.server.split(":")
            try:
                server = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            self.ends += [client, server]
            Thread(target=self.pass_on, args=(client, server, True), daemon=True).start()
            Thread(target=self.pass_on, args=(server, client, False), daemon=True).start()

    def pass_on(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.passed += len(data)
                if self.passed > self.cut_after:
                    self.cut()
                target.sendall(self.passing(data, to_server))
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def passing(self, data: bytes, to_server: bool) -> bytes:
        """What is passed on instead of the data."""
        return data

    def cut(self) -> None:
        """Cuts all connections. New ones are welcome."""
        ends, self.ends = self.ends, []
        self.passed = 0
        self.cuts += bool(ends)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    proxy = Proxy("localhost:50052")
    print("localhost:50052 → localhost:50051, Enter: ✂", flush=True)
    for _ in sys.stdin:
        proxy.cut()
