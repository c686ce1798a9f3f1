from square import square

from conexiones.testing import serve

with serve() as server:
    assert square(server.address, "Nora", 12) == 144

print("passed")
